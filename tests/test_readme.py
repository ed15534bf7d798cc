"""What README and docs show runs as it stands, and their links lead somewhere."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch

import banded
from banded.control.schemes import SCHEMES
from banded.problems import CONTROL_PROBLEMS

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in ROOT.glob("docs/*.md"))]


def run(page: str) -> dict[str, Any]:
    """All Python blocks of a page, one after the other."""
    code = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    scope: dict[str, Any] = {}
    exec("\n".join(code), scope)
    return scope


def test_the_readme_prints_what_it_says(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)  # where it saves
    scope = run("README.md")
    out = capsys.readouterr().out
    assert out.startswith("converged: f =")
    assert "SymmetricBanded(n=2000, bandwidth=2," in out
    assert float((scope["result"].x - scope["t"].sin()).abs().max()) < 0.3  # the outliers are 5 away
    assert scope["solution"].success
    assert scope["solution"].cost == pytest.approx(58.8985, abs=1e-4)  # 58.8967 with a node more
    assert banded.Solution.load("swingup.npz").cost == scope["solution"].cost
    assert scope["controller"].solution.success


def test_the_cookbook_cooks(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        scope = run("docs/cookbook.md")
    finally:
        torch.set_default_dtype(torch.float32)
    out = capsys.readouterr().out
    assert out.startswith("4\n")
    assert "tensor(True)" in out
    assert "tensor(False)" not in out
    assert scope["swing"].success
    assert scope["result"].success
    assert scope["swing"].x[-1, 0] == pytest.approx(torch.pi, abs=1e-7)


def test_the_page_of_linear_algebra_runs() -> None:
    scope = run("docs/linear-algebra.md")
    dense = scope["A"].to_dense()
    torch.testing.assert_close(scope["x"], torch.linalg.solve(dense, scope["b"]))
    negative = int((torch.linalg.eigvalsh(dense) < 2).sum())
    assert scope["A"].add_diagonal(-2.0).inertia() == (1000 - negative, negative, 0)
    assert (scope["J"].congruence(scope["b"]) + 2 * scope["A"]).bandwidth == 3


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    path = ROOT / page
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), target


def test_the_page_of_newton_runs() -> None:
    scope = run("docs/newton.md")
    torch.testing.assert_close(scope["result"].x, torch.ones_like(scope["x0"]))
    assert bool(scope["results"].success.all())
    torch.testing.assert_close(scope["line"].x, torch.ones_like(scope["x0"]))
    assert float(scope["loss"].detach()) < 99
    assert scope["weight"].grad is not None
    assert scope["early"].status.name == "STOPPED"


def test_the_page_of_constraints_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)  # where it draws
    scope = run("docs/constraints.md")
    result, prices = scope["result"], scope["prices"]
    assert result.success
    for name in ("v", "force"):
        assert bool((result.x[name] <= scope["upper"][name]).all())
    assert float(scope["power"].max()) == pytest.approx(0.12, abs=1e-8)
    assert bool((prices.inequality >= 0).all())
    higher = (scope["with_limit"](0.4501) - result.value) / 1e-4
    assert -higher == pytest.approx(float(scope["saved"]), rel=1e-2)
    assert scope["stuck"].status.name == "INFEASIBLE"
    assert float(scope["early"].multipliers.upper["spent"][-1]) > 0.01
    assert float(scope["early"].x["force"].square().sum() * scope["step"]) == pytest.approx(0.55, abs=1e-6)
    assert 2 < float(scope["fast"].x["duration"].detach()) < 3


def test_the_page_of_control_runs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)  # where it draws and saves
    scope = run("docs/control.md")
    out = capsys.readouterr().out
    assert out.startswith("a load carried by 5 m\nconverged: cost 0.91402")
    assert scope["solution"].cost == pytest.approx(0.91402137, abs=1e-7)
    assert [round(float(one[1])) for one in scope["orders"].values()] == [1, 2, 4, 2, 4, 4, 2]
    assert scope["fine"].accuracy <= 1e-7
    for name in ("early", "better", "near", "hasty", "design", "day", "moving"):
        assert scope[name].success, name
    assert scope["near"].iterations < scope["solution"].iterations
    assert scope["hasty"].duration == pytest.approx(6.719, abs=1e-3)
    assert scope["design"].duration == pytest.approx(6.391, abs=1e-3)
    assert 16 < float(scope["day"].x.mean()) < 20
    torch.testing.assert_close(scope["day"].x[0], scope["day"].x[-1])
    assert float(scope["moving"].x[0, 1] + scope["moving"].x[-1, 1]) == pytest.approx(0.5)
    assert bool(scope["solutions"].success.all())
    assert scope["flight"].success
    assert scope["flight"].cost == pytest.approx(-0.1926, abs=3e-4)
    slope = (scope["costs"][0] - scope["costs"][1]) / (2 * scope["step"])
    assert float(scope["same"].costates[0, 0]) == pytest.approx(slope, rel=1e-4)
    assert (tmp_path / "crane.gif").stat().st_size > 1000
    assert float(scope["state"][0]) == pytest.approx(torch.pi, abs=0.2)
    assert scope["rushed"].status.name == "INFEASIBLE"


def test_the_page_of_control_names_all_fields_and_schemes() -> None:
    page = (ROOT / "docs/control.md").read_text(encoding="utf-8")
    for one in (*fields(banded.ControlProblem), *fields(banded.Phases)):
        assert f"`{one.name}`" in page, one.name
    for name in SCHEMES:
        assert f'| `"{name}"` |' in page, name


def test_the_page_of_problems_runs() -> None:
    scope = run("docs/problems.md")
    assert scope["solution"].cost == pytest.approx(58.896710, abs=1e-5)
    assert scope["closer"].cost == pytest.approx(4 / (9 * 0.05), rel=1e-5)


def test_the_page_of_problems_names_all_of_them() -> None:
    page = (ROOT / "docs/problems.md").read_text(encoding="utf-8")
    for name in CONTROL_PROBLEMS:
        assert f"| `{name}(" in page
