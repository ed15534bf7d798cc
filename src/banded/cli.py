"""The command `banded`: list the problems, solve one, save and draw the outcome."""

import argparse
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from torch.utils._pytree import keystr, tree_flatten_with_path

from banded import plot
from banded.errors import BandedError, FileFormatError
from banded.optimize import Multipliers, Result, Status
from banded.problems import PROBLEMS, Problem, unknowns

SOLVED, NOT_SOLVED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status: 0 solved, 1 not solved, 2 bad input, 130 interrupted."""
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except (BandedError, ValueError, TypeError, OSError, ModuleNotFoundError) as error:
        print(f"banded: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("banded: interrupted", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("banded", description="Newton's method on banded Hessians of PyTorch functions.")
    parser.add_argument("--version", action="version", version=version("banded"))
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    listing = commands.add_parser("list", help="show the problems that come with banded")
    listing.set_defaults(run=_list)
    solve = commands.add_parser("solve", help="solve a problem, draw and save the solution")
    solve.add_argument("name", help="a name from `banded list`, or FILE.py:OBJECT for a banded.Problem of yours")
    solve.add_argument(
        "--nodes", type=int, metavar="N", help="size, for problems made by a function `def problem(nodes=...)`"
    )
    solve.add_argument("--plot", type=Path, metavar="FILE", help="picture to write (default: NAME.png)")
    solve.add_argument("--output", type=Path, metavar="FILE.npz", help="solution to write, for numpy.load")
    solve.add_argument("--quiet", action="store_true", help="print only the summary")
    solve.set_defaults(run=_solve)
    return parser


def _list(options: argparse.Namespace) -> int:
    table = Table("name", "unknowns", "problem", box=None, pad_edge=False)
    for name, make in PROBLEMS.items():
        problem = make()
        table.add_row(name, str(problem.start.numel()), problem.title)
    Console().print(table)
    return SOLVED


def _solve(options: argparse.Namespace) -> int:
    name, problem = _find(options.name, options.nodes)
    _check_names(problem)
    if options.output is not None and options.output.suffix != ".npz":
        raise ValueError(f"--output: expected a file name that ends in .npz, got {options.output}")
    picture = None if options.plot is None else plot.check_path(options.plot)
    if not options.quiet:
        print(problem.title or name)
    result = problem.solve(progress=not options.quiet)
    print(result)
    if options.output is not None:
        save(problem, result, options.output)
        print(f"solution: {options.output}")
    _draw(problem, result, picture, Path(f"{name}.png"))
    if result.status is Status.INTERRUPTED:
        return INTERRUPTED
    return SOLVED if result.success else NOT_SOLVED


def _draw(problem: Problem, result: Result, wanted: Path | None, default: Path) -> None:
    """A picture that was asked for must come; one by default may be missing, with the reason."""
    path = wanted or default
    try:
        plot.save(plot.picture(problem, result), path)
    except ModuleNotFoundError as error:
        if wanted is not None:
            raise
        print(f"no picture: {error}")
        return
    print(f"picture: {path}")


def save(problem: Problem, result: Result, path: Path) -> None:
    """Write x, the problem's series, the multipliers, the history and the outcome to `path`, for `numpy.load`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    series: dict[str, Any] = {name: column.numpy() for name, column in problem.series(result.x).items()}
    np.savez(path, **series, **_outcome(result))


def _outcome(result: Result) -> dict[str, Any]:
    outcome: dict[str, Any] = {
        **{name: leaf.cpu().numpy() for name, leaf in unknowns(result.x).items()},
        "value": result.value,
        "status": result.status.name,
        "gradient_norm": result.gradient_norm,
        "history_value": [record.value for record in result.history],
        "history_gradient_norm": [record.gradient_norm for record in result.history],
    }
    if result.multipliers is not None:
        outcome |= {**_arrays(result.multipliers), "violation": result.violation}
    return outcome


def _arrays(multipliers: Multipliers) -> dict[str, Any]:
    """By the names of their fields, and the paths of their leaves."""
    found = {}
    for name in ("equality", "inequality", "lower", "upper"):
        for path, leaf in tree_flatten_with_path(getattr(multipliers, name))[0]:
            if leaf is not None:
                found[f"multipliers.{name}{keystr(path)}"] = leaf.cpu().numpy()
    return found


# of the outcome, and numpy.savez's own
RESERVED = {"x", "value", "status", "gradient_norm", "history_value", "history_gradient_norm"}
RESERVED |= {"violation", "file", "allow_pickle"}


def _check_names(problem: Problem) -> None:
    """The series must not take the names of what is saved beside them; found before the solve, not after."""
    names = problem.series(problem.start)
    bad = [str(name) for name in names if not isinstance(name, str) or name in RESERVED]
    if bad:
        raise ValueError(f"columns: expected names that are text, and none of the outcome's, got {', '.join(bad)}")


def _find(name: str, nodes: int | None) -> tuple[str, Problem]:
    """The problem and a short name for its files."""
    if name in PROBLEMS:
        return name, _make(PROBLEMS[name], name, nodes)
    file, colon, attribute = name.rpartition(":")
    if colon and file.endswith(".py"):
        return attribute, _make(_load(Path(file), attribute), name, nodes)
    known = ", ".join(PROBLEMS)
    raise ValueError(f"expected one of {known}, or FILE.py:OBJECT, got {name!r}; `banded list` describes them")


def _make(source: object, name: str, nodes: int | None) -> Problem:
    """A problem as it is, or made by a function that may take `nodes`."""
    parameters = inspect.signature(source).parameters.values() if callable(source) else ()
    if nodes is not None and "nodes" not in [parameter.name for parameter in parameters]:
        raise ValueError(f"--nodes: expected a function of `nodes` that makes the problem, not {name}; leave it out")
    if callable(source) and all(p.name == "nodes" or p.default is not p.empty for p in parameters):
        source = source() if nodes is None else source(nodes=nodes)
    if not isinstance(source, Problem):
        raise FileFormatError(
            f"{name}: expected a banded.Problem or a function that returns one, got {_describe(source)}"
        )
    return source


def _describe(source: object) -> str:
    return f"the function {source.__name__}" if inspect.isfunction(source) else type(source).__name__


def _load(file: Path, attribute: str) -> object:
    """An object from a Python file."""
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file")
    # a name of its own, lest a file called numpy.py replace numpy; its folder comes last, for modules beside it
    name = f"_banded_problem_{file.stem}"
    sys.path.append(str(file.resolve().parent))
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None  # the name ends in .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise FileFormatError(f"{file}, line {error.lineno}: SyntaxError: {error.msg}") from error
    except (Exception, SystemExit) as error:
        line = traceback.extract_tb(error.__traceback__)[-1]
        raise FileFormatError(f"{line.filename}, line {line.lineno}: {type(error).__name__}: {error}") from error
    if not hasattr(module, attribute):
        own = {name: value for name, value in vars(module).items() if not name.startswith("_")}
        found = [name for name, value in own.items() if isinstance(value, Problem) or inspect.isfunction(value)]
        there = ", ".join(found) or "no problem and no function"
        raise FileFormatError(f"{file}: expected an object named {attribute!r}, found {there}")
    return getattr(module, attribute)
