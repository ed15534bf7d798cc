"""Who may import whom: the drawing in ARCHITECTURE.md, kept true."""

import ast
from pathlib import Path

import banded

SOURCE = Path(banded.__file__).parent
LAYERS = [
    "errors",
    "compiling",
    "checks",
    "canvas",
    "bands",
    "factor",
    "matrix",
    "hessian",
    "optimize",
    "control",
    "problems",
    "plot",
    "cli",
]
INDICES = {"structure", "coloring", "probes", "recover", "substitute", "sparse", "arrange"}
AUTOGRAD = {"products", "compiled", "engine", "memory"}


def imports(path: Path) -> set[str]:
    """Modules of `banded` that a file imports, as dotted names without `banded.`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "banded":
            module = (node.module or "").removeprefix("banded").removeprefix(".")
            found |= {module} if module else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.removeprefix("banded.") for alias in node.names if alias.name.startswith("banded.")}
    return found


def test_layers_import_only_what_lies_below() -> None:
    for path in SOURCE.rglob("*.py"):
        here = path.relative_to(SOURCE).with_suffix("").parts[0]
        if here != "__init__":
            below = LAYERS[: LAYERS.index(here) + 1]
            for module in imports(path):
                assert module.split(".")[0] in below, f"{path.name} must not import banded.{module}"


def test_hessian_and_factor_meet_only_through_matrix() -> None:
    for path in (SOURCE / "hessian").rglob("*.py"):
        assert not any(module.startswith("factor") for module in imports(path)), path.name


def test_indices_and_autograd_do_not_know_each_other() -> None:
    for side, other in ((INDICES, AUTOGRAD), (AUTOGRAD, INDICES)):
        for stage in side:
            known = {module.split(".")[-1] for module in imports(SOURCE / "hessian" / f"{stage}.py")}
            assert not known & other, stage


def test_probes_and_recovery_do_not_know_each_other() -> None:
    assert "hessian.recover" not in imports(SOURCE / "hessian" / "probes.py")
    for stage in ("recover", "substitute"):
        assert "hessian.probes" not in imports(SOURCE / "hessian" / f"{stage}.py")


def test_optimize_and_hessian_know_nothing_of_pictures() -> None:
    for path in SOURCE.rglob("*.py"):
        if path.parent.name in ("optimize", "hessian", "factor"):
            assert "matplotlib" not in path.read_text(encoding="utf-8"), path.name


def test_files_stay_short() -> None:
    for path in SOURCE.rglob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 400, path.name
