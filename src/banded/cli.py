"""The command `banded`: list the problems, solve one, save and draw the outcome."""

import argparse
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from torch.utils._pytree import keystr, tree_flatten_with_path

from banded import plot
from banded.control import ControlProblem, PhasedSolution, Phases, Solution
from banded.errors import BandedError, FileFormatError
from banded.optimize import Multipliers, Result, Status
from banded.problems import CONTROL_PROBLEMS, PROBLEMS, Problem, unknowns

SOLVED, NOT_SOLVED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
NODES, SCHEME = 101, "trapezoidal"  # of control problems
SHORTEST, LONGEST = 4.0, 10.0  # seconds of an animation


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
    parser = argparse.ArgumentParser(
        "banded", description="Newton's method on banded Hessians of PyTorch functions, and optimal control by it."
    )
    parser.add_argument("--version", action="version", version=version("banded"))
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    listing = commands.add_parser("list", help="show the problems that come with banded")
    listing.set_defaults(run=_list)
    solve = commands.add_parser("solve", help="solve a problem, draw and save the solution")
    solve.add_argument(
        "name",
        help="a name from `banded list`, or FILE.py:OBJECT for a banded.ControlProblem, a banded.Problem or "
        "banded.Phases of yours",
    )
    solve.add_argument(
        "--nodes",
        type=int,
        metavar="N",
        help=f"of a control problem, intervals plus one (default: {NODES}); size of a problem that a function "
        "`def problem(nodes=...)` makes",
    )
    solve.add_argument(
        "--scheme", metavar="NAME", help=f"of a control problem, such as hermite-simpson (default: {SCHEME})"
    )
    solve.add_argument(
        "--accuracy",
        type=float,
        metavar="E",
        help="of a control problem, such as 1e-6: finer grids until errors are no larger",
    )
    solve.add_argument("--animate", type=Path, metavar="FILE", help="animation of a control problem: .gif or .html")
    solve.add_argument("--plot", type=Path, metavar="FILE", help="picture to write (default: NAME.png)")
    solve.add_argument("--output", type=Path, metavar="FILE.npz", help="solution to write, for numpy.load")
    solve.add_argument("--quiet", action="store_true", help="print only the summary")
    solve.set_defaults(run=_solve)
    return parser


def _list(options: argparse.Namespace) -> int:
    table = Table("name", "size", "problem", box=None, pad_edge=False)
    for name, make_control in CONTROL_PROBLEMS.items():
        control = make_control()
        sizes = (len(control.stated.states), "state"), (len(control.stated.controls), "control")
        table.add_row(name, ", ".join(f"{n} {word}{'s' * (n != 1)}" for n, word in sizes), control.title)
    table.add_section()
    for name, make in PROBLEMS.items():
        problem = make()
        table.add_row(name, f"{problem.start.numel()} unknowns", problem.title)
    Console().print(table)
    return SOLVED


def _solve(options: argparse.Namespace) -> int:
    if options.output is not None and options.output.suffix != ".npz":
        raise ValueError(f"--output: expected a file name that ends in .npz, got {options.output}")
    file = _split(options.name)[0]
    with _blamed(file):
        name, problem = _find(options.name, options.nodes)
        if isinstance(problem, ControlProblem | Phases):
            return _control(options, name, problem)
        for option in ("scheme", "accuracy", "animate"):
            if getattr(options, option) is not None:
                raise ValueError(f"--{option}: expected a control problem, not {options.name}; leave it out")
        return _minimise(options, name, problem)


def _control(options: argparse.Namespace, name: str, problem: ControlProblem | Phases) -> int:
    """Solve a control problem, save, draw and animate the trajectory."""
    picture = None if options.plot is None else plot.check_path(options.plot)
    if options.animate is not None:
        _check_animation(options.animate, name, problem)
    nodes = NODES if options.nodes is None else options.nodes
    solution = problem.solve(nodes, options.scheme or SCHEME, accuracy=options.accuracy, progress=not options.quiet)
    if not isinstance(solution, Solution | PhasedSolution):
        raise ValueError(f"{name}: expected one problem, got a batch of {len(solution)}; solve those from Python")
    print(solution if solution.success else solution.explain())
    if options.output is not None:
        solution.save(options.output)
        print(f"solution: {options.output}")
    _draw(solution.plot, picture, Path(f"{name}.png"))
    if options.animate is not None:
        _animate(solution, options.animate)
    return _exit_status(solution.status)


def _check_animation(path: Path, name: str, problem: ControlProblem | Phases) -> None:
    """Found before the solve, not after."""
    if path.suffix not in (".gif", ".html"):
        raise ValueError(f"--animate: expected a file name that ends in .gif or .html, got {path}")
    if all(one.scene is None for one in (problem.phases if isinstance(problem, Phases) else [problem])):
        raise ValueError(f"--animate: expected a problem with a scene, which {name} has none of; leave it out")


def _animate(solution: Solution | PhasedSolution, path: Path) -> None:
    seconds = min(max(solution.duration, SHORTEST), LONGEST)
    solution.animate(path, speed=solution.duration / seconds)
    print(f"animation: {path}")


def _minimise(options: argparse.Namespace, name: str, problem: Problem) -> int:
    """Solve a problem, save and draw the minimum."""
    _check_names(problem)
    picture = None if options.plot is None else plot.check_path(options.plot)
    if not options.quiet:
        print(problem.title or name)
    result = problem.solve(progress=not options.quiet)
    print(result if result.success else result.explain())
    if options.output is not None:
        save(problem, result, options.output)
        print(f"solution: {options.output}")
    _draw(lambda: plot.picture(problem, result), picture, Path(f"{name}.png"))
    return _exit_status(result.status)


def _exit_status(status: Status) -> int:
    if status is Status.INTERRUPTED:
        return INTERRUPTED
    return SOLVED if status.success else NOT_SOLVED


def _draw(picture: Callable[[], Any], wanted: Path | None, default: Path) -> None:
    """A picture that was asked for must come; one by default may be missing, with the reason."""
    path = wanted or default
    try:
        plot.save(picture(), path)
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


def _split(name: str) -> tuple[Path | None, str]:
    """The file, where it is one, and the name of the object in it."""
    file, colon, attribute = name.rpartition(":")
    return (Path(file), attribute) if colon and file.endswith(".py") else (None, name)


def _find(name: str, nodes: int | None) -> tuple[str, Problem | ControlProblem | Phases]:
    """The problem and a short name for its files."""
    known: dict[str, Callable[..., Problem | ControlProblem]] = {**CONTROL_PROBLEMS, **PROBLEMS}
    if name in known:
        return name, _make(known[name], name, nodes)
    file, attribute = _split(name)
    if file is not None:
        return attribute, _make(_load(file, attribute), name, nodes)
    if name.endswith(".py"):
        raise ValueError(f"expected FILE.py:OBJECT, such as {name}:problem, got {name!r}")
    if near := get_close_matches(name, known, 1):
        raise ValueError(
            f"expected a name that `banded list` shows, or FILE.py:OBJECT, got {name!r}; {near[0]!r} may be meant"
        )
    raise ValueError(
        f"expected one of {', '.join(known)}, or FILE.py:OBJECT, got {name!r}; `banded list` describes them"
    )


def _make(source: object, name: str, nodes: int | None) -> Problem | ControlProblem | Phases:
    """A problem as it is, or made by a function that may take `nodes`."""
    parameters = inspect.signature(source).parameters.values() if callable(source) else ()
    sized = "nodes" in [parameter.name for parameter in parameters]
    if callable(source) and all(p.name == "nodes" or p.default is not p.empty for p in parameters):
        source = source(nodes=nodes) if sized and nodes is not None else source()
    if isinstance(source, ControlProblem | Phases):
        return source
    if not isinstance(source, Problem):
        raise FileFormatError(
            f"{name}: expected a banded.ControlProblem, a banded.Problem, banded.Phases or a function that "
            f"returns one, got {_describe(source)}"
        )
    if nodes is not None and not sized:
        raise ValueError(
            f"--nodes: expected a control problem or a function of `nodes` that makes the problem, not {name}; leave "
            "it out"
        )
    return source


def _describe(source: object) -> str:
    return f"the function {source.__name__}" if inspect.isfunction(source) else type(source).__name__


@contextmanager
def _blamed(file: Path | None) -> Iterator[None]:
    """Errors from a user's functions, as one that says where in the file.

    Raises:
        FileFormatError: in their place.
    """
    try:
        yield
    except (BandedError, OSError, ModuleNotFoundError):
        raise
    except Exception as error:
        lines = [] if file is None else _lines(error, file)
        innermost = traceback.extract_tb(error.__traceback__)[-1]
        # this library's own are advice already
        if not lines or (isinstance(error, ValueError | TypeError) and innermost not in lines):
            raise
        raise FileFormatError(_told(lines[-1], error)) from error


def _lines(error: BaseException, file: Path) -> list[traceback.FrameSummary]:
    """Where an error passed through a file or what lies beside it."""
    folder = file.resolve().parent
    paths = [(line, Path(line.filename)) for line in traceback.extract_tb(error.__traceback__)]
    return [line for line, path in paths if path.is_file() and path.resolve().is_relative_to(folder)]


def _told(line: traceback.FrameSummary, error: BaseException) -> str:
    return f"{line.filename}, line {line.lineno}: {type(error).__name__}: {error}"


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
        line = f", line {error.lineno}" if error.lineno else ""
        raise FileFormatError(f"{file}{line}: SyntaxError: {error.msg}") from error
    except (Exception, SystemExit) as error:
        lines = _lines(error, file)
        told = _told(lines[-1], error) if lines else f"{file}: {type(error).__name__}: {error}"
        raise FileFormatError(told) from error
    if not hasattr(module, attribute):
        raise FileFormatError(f"{file}: expected an object named {attribute!r}, found {_found(module)}")
    return getattr(module, attribute)


def _found(module: object) -> str:
    """What of a module could be a problem."""
    own = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    kinds = Problem, ControlProblem, Phases
    there = [name for name, value in own.items() if isinstance(value, kinds) or inspect.isfunction(value)]
    return ", ".join(there) or "no problem and no function"
