"""Constraints and bounds: interior points on a band, against Ipopt through CasADi, and pounce through PyTorch.

    pip install casadi pounce-solver    # as far as wanted: what is missing is left out
    OMP_NUM_THREADS=1 python benchmarks/constrained.py [--only problems chains warm] [--names cartpole ...]
                                                       [--most 100000] [--repeat 5] [--tracks FOLDER] [--quick]

    problems   a table for each problem: iterations, seconds an iteration, set-up, solve, memory, optimum
    chains     the cart-pole and DTOC1L on 10² to 10⁵ stages, and how the time of an iteration grows
    parts      what an iteration is made of at about 500 unknowns
    warm       iterations from the start and from the result of a problem nearby, with its multipliers: nine problems
               of banded.problems, whatever `--names` says, whose f gets a random linear term, push · x

In float64 on one thread. Each row has a process of its own, which has solved a small instance before (a compiled one
the same), so that what is loaded or compiled once is there. Set-up is all from the functions to a solver that is
ready: of banded its plan, of Ipopt CasADi's expressions and derivatives, of pounce its problem, where CasADi has told
it the sparsity outside the time. The fastest of `--repeat` solves counts, the first where it takes longer than 5 s.
Memory is what a set-up and a solve take at most above what the process held.

All start from the same point with a tolerance of 1e-8, scaled as each does it. The value of Ipopt comes from another
run that keeps to the bounds, bound_relax_factor=0; its time is that with its own settings.
"""

from __future__ import annotations

import importlib
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from math import inf, isclose
from pathlib import Path
from typing import Any

import numpy as np
import torch
from extraction import fresh, limit, machine, reset_peak, status
from kelly import cartpole
from peers import Skipped, optional
from rich.console import Console
from rich.table import Column, Table

from banded import Problem, Result
from banded.problems import PROBLEMS, corkscrw, dtoc1l, hager1, hanging, liswet1, lukvle8

EAGER, COMPILED, IPOPT, POUNCE = "banded, eager", "banded, compiled", "Ipopt", "pounce"
PATIENCE, LIMIT, LONG = 5.0, 300.0, 60.0  # seconds: for repeats; for a solve; from which pounce is left out
ROOT = Path(__file__).parents[1]
TRACKS = ROOT.parent / "shared" / "data" / "tracks"
CIRCUITS = ("Monza", "Silverstone", "Spa", "Nuerburgring")
console = Console(width=160, highlight=False)


def example() -> Any:
    """The module of examples/raceline.py."""
    loader = SourceFileLoader("raceline", str(ROOT / "examples" / "raceline.py"))
    spec = spec_from_loader("raceline", loader)
    assert spec is not None
    module = module_from_spec(spec)
    importlib.import_module("sys").modules["raceline"] = module
    loader.exec_module(module)
    return module


def circuit(path: Path) -> Problem:
    """The racing line between the edges of a circuit, from the centre line."""
    raceline = example()
    track = raceline.read_track(path)
    return Problem(
        lambda a: raceline.squared_curvature(track.line(a)),
        torch.zeros_like(track.left),
        bounds=(-track.left, track.right),
        title=path.stem,
    )


@dataclass(frozen=True)
class Entry:
    """A problem as banded has it, with its size and a small one, and its name in casadi_problems."""

    make: Callable[..., Problem]
    size: tuple[int, ...]
    small: tuple[int, ...]
    peer: str


ENTRIES = {
    "hager1": Entry(hager1, (1000,), (20,), "hager1"),
    "dtoc1l": Entry(dtoc1l, (1000,), (10,), "dtoc1l"),
    "lukvle8": Entry(lukvle8, (1000,), (20,), "lukvle8"),
    "liswet1": Entry(liswet1, (1000, 3), (20, 3), "liswet1"),
    "corkscrw": Entry(corkscrw, (100,), (10,), "corkscrw"),
    "hanging": Entry(hanging, (200,), (20,), "hanging_chain"),
    "cartpole": Entry(cartpole, (100,), (20,), "cartpole"),
}
PARTS = {"hager1": (250,), "dtoc1l": (84,), "lukvle8": (500,), "liswet1": (500, 3)}
PARTS |= {"corkscrw": (55,), "hanging": (125,), "cartpole": (100,)}
STAGES = (100, 1_000, 10_000, 100_000)
TWICE = ("cartpole", "dtoc1l")  # compiled as well
WARM = [("cartpole", 40), ("corkscrw", 30), ("corkscrw", 60), ("liswet1", 100), ("dtoc1l", 50), ("pentdi", 100)]
WARM += [("chenhark", 100), ("hanging", 100), ("optcntrl", 10)]
PUSHES = (1e-3, 1e-4, 1e-5)  # standard deviations of the push on each unknown


@dataclass
class Row:
    """What a solver took.

    Attributes:
        profile: of banded, milliseconds of an iteration by what they were spent on.
    """

    n: int
    value: float
    iterations: int
    setup: float
    seconds: float
    status: str
    memory: float = 0.0
    profile: dict[str, float] = field(default_factory=dict)

    @property
    def each(self) -> float:
        """Seconds an iteration."""
        return self.seconds / max(self.iterations, 1)


def ours(name: str, size: tuple[Any, ...], compile: bool) -> Row:
    problem = circuit(*size) if name in CIRCUITS else ENTRIES[name].make(*size)
    result = problem.solve(progress=False, compile=compile, max_seconds=LIMIT)
    plan, steps = result.profile["plan"], max(result.iterations, 1)
    parts = {part: 1e3 * seconds / steps for part, seconds in result.profile.items() if part != "plan"}
    ended = result.status.name.lower()
    rest = result.seconds - plan
    return Row(len(problem.start), result.value, result.iterations, plan, rest, ended, profile=parts)


def described(name: str, size: tuple[Any, ...]) -> Any:
    """The problem in CasADi."""
    optional("casadi")
    module = importlib.import_module("casadi_problems")
    return module.raceline(*size) if name in CIRCUITS else getattr(module, ENTRIES[name].peer)(*size)


def ipopt(name: str, size: tuple[Any, ...], **settings: Any) -> Row:
    begun = time.perf_counter()
    nlp = described(name, size)
    building = time.perf_counter() - begun
    found = importlib.import_module("casadi_problems").solve(nlp, max_wall_time=LIMIT, **settings)
    setup = found.setup + building
    return Row(len(nlp.x0), found.value, found.iterations, setup, found.seconds, found.status.lower())


def pounce(name: str, size: tuple[Any, ...]) -> Row:
    if name in CIRCUITS:
        raise Skipped("pounce wants constraints")
    optional("pounce")
    nlp = described(name, size)
    module = importlib.import_module("pounce_problems")
    if name in module.PROBLEMS:
        problem = module.PROBLEMS[name][0](*size)
    else:
        mine = ENTRIES[name].make(*size)
        problem = module.InTorch(nlp, mine.objective, mine.equality or mine.inequality)
    found = module.solve(problem, way="given")
    return Row(len(nlp.x0), found.value, found.iterations, found.setup, found.seconds, found.status.lower())


SOLVERS: dict[str, Callable[[str, tuple[Any, ...]], Row]] = {
    EAGER: partial(ours, compile=False),
    COMPILED: partial(ours, compile=True),
    IPOPT: ipopt,
    POUNCE: pounce,
}


def measure(solver: str, name: str, size: tuple[Any, ...], repeat: int) -> Row | str:
    """The fastest of some, or why there is none; to be run in a process of its own."""
    solve = SOLVERS[solver]
    try:
        solve(name, size if solver == COMPILED or name in CIRCUITS else ENTRIES[name].small)
        reset_peak()
        base = status("VmRSS")
        best = solve(name, size)
        best.memory = (status("VmHWM") - base) / 1e6
        for _ in range(repeat - 1 if best.seconds + best.setup < PATIENCE else 0):
            row = solve(name, size)
            row.memory, row.setup, best.setup = best.memory, *[min(row.setup, best.setup)] * 2
            best = min(best, row, key=lambda one: one.seconds)
        if solver == IPOPT and best.seconds < PATIENCE:
            best.value = ipopt(name, size, bound_relax_factor=0.0).value
    except Skipped as reason:
        return str(reason)
    except MemoryError:
        return "not enough memory"
    return best


def ask(options: Namespace, solver: str, name: str, size: tuple[Any, ...]) -> Row | str:
    """`measure`, in a process of its own unless it is to be quick."""
    if options.quick:
        return measure(solver, name, size, 1)
    try:
        row: Row | str = fresh(1, measure, solver, name, size, options.repeat)
    except BrokenProcessPool:
        row = "killed, probably for memory"
    return row


def columns(*heads: str) -> Table:
    right = (Column(head, justify="right", no_wrap=True) for head in heads)
    return Table(Column(no_wrap=True), *right, Column("status", no_wrap=True), box=None, pad_edge=False)


HEADS = "n", "iterations", "ms / iteration", "set-up ms", "solve ms", "MB", "optimum"


def cells(row: Row) -> list[str]:
    times = (f"{1e3 * seconds:,.4g}" for seconds in (row.each, row.setup, row.seconds))
    return [f"{row.n:,}", f"{row.iterations}", *times, f"{row.memory:,.0f}", f"{row.value:.12g}", row.status[:32]]


def problems(options: Namespace) -> None:
    """Each problem, each solver."""
    sizes: dict[str, tuple[Any, ...]] = {name: ENTRIES[name].size for name in options.names}
    if options.quick:
        sizes = {name: ENTRIES[name].small for name in options.names}
    elif options.tracks.is_dir():
        sizes |= {name: (options.tracks / f"{name}.csv",) for name in CIRCUITS}
    for name, size in sizes.items():
        table = columns(*HEADS)
        for solver in (EAGER, COMPILED, IPOPT, POUNCE):
            if solver == COMPILED and (name not in TWICE or options.quick):
                continue
            row = ask(options, solver, name, size)
            table.add_row(solver, *(cells(row) if isinstance(row, Row) else ["-"] * len(HEADS) + [row]))
        shown = " ".join(str(one) for one in size if not isinstance(one, Path))
        console.print(f"[bold]{name} {shown}[/bold]", table, "", sep="\n")


def chains(options: Namespace) -> None:
    """The same problems, longer and longer."""
    stages = [one for one in STAGES if one <= options.most]
    for name in (name for name in TWICE if name in options.names):
        table, growth = columns("stages", *HEADS), {}
        for solver in (EAGER, COMPILED, IPOPT, POUNCE):
            if solver == COMPILED and options.quick:
                continue
            found: dict[int, float] = {}
            last = 0.0
            for size in stages:
                if solver == POUNCE and 10 * last > LONG:
                    break
                row = ask(options, solver, name, (size,))
                last = row.seconds + row.setup if isinstance(row, Row) else inf
                rest = cells(row) if isinstance(row, Row) else ["-"] * len(HEADS) + [row]
                table.add_row(solver, f"{size:,}", *rest)
                if isinstance(row, Row):
                    found[size] = row.each
            if len(found) > 1:
                growth[solver] = np.polyfit(np.log(list(found)), np.log(list(found.values())), 1)[0]
        console.print(f"[bold]{name}, longer and longer[/bold]", table, sep="\n")
        powers = ", ".join(f"{solver} {power:.2f}" for solver, power in growth.items())
        console.print(f"an iteration takes time as stages to the power of: {powers}", "", sep="\n")


def parts(options: Namespace) -> None:
    """An iteration at about 500 unknowns."""
    table = columns("n", "iterations", "ms / iteration", "derivatives", "values", "linear algebra", "the rest")
    for name in options.names:
        for solver in (EAGER, COMPILED):
            if solver == COMPILED and (name not in TWICE or options.quick):
                continue
            row = ask(options, solver, name, ENTRIES[name].small if options.quick else PARTS[name])
            assert isinstance(row, Row)
            times = (row.profile.get(part, 0.0) for part in ("derivatives", "values", "linear algebra", "the rest"))
            shares = (f"{one:.3f}" for one in times)
            each = f"{1e3 * row.each:.3f}"
            table.add_row(f"{name}, {solver}", f"{row.n}", f"{row.iterations}", each, *shares, row.status)
    console.print("[bold]parts of an iteration, ms[/bold]", table, "", sep="\n")


def pushed(problem: Problem, size: float) -> Problem:
    """The problem with a linear term in f."""
    push = size * torch.randn(problem.start.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return replace(problem, objective=lambda x: problem.objective(x) + (push * x).sum())


def agree(one: Result, other: Result) -> bool:
    """Both succeeded, in the same minimum."""
    return one.success and other.success and isclose(one.value, other.value, rel_tol=1e-6, abs_tol=1e-8)


def warm(options: Namespace) -> None:
    """What the multipliers of a problem nearby save."""
    heads = (f"{size:.0e}: cold, warm, ratio" for size in PUSHES)
    table, ratios = Table(Column(no_wrap=True), *(Column(head) for head in heads), box=None, pad_edge=False), []
    for name, size in WARM[-1:] if options.quick else WARM:
        problem, row = PROBLEMS[name](size), []
        first = problem.solve(progress=False)
        for other in (pushed(problem, size) for size in PUSHES):
            cold = other.solve(progress=False)
            again = replace(other, start=first.x.detach()).solve(progress=False, warm_start=first)
            steps = f"{cold.iterations:3} {again.iterations:3}"
            if agree(cold, again):
                ratios.append(max(again.iterations, 1) / cold.iterations)
                row.append(f"{steps}  {ratios[-1]:.2f}")
            else:
                ends = f"{cold.status.name.lower()}, {again.status.name.lower()}"
                row.append(f"{steps}  {'another minimum' if cold.success and again.success else ends}")
        table.add_row(f"{name} {size}", *row)
    mean = np.exp(np.log(ratios).mean())
    console.print("[bold]warm starts, iterations[/bold]", table, sep="\n")
    console.print(f"geometric mean of the {len(ratios)} ratios: {mean:.2f}", "", sep="\n")


SECTIONS = {f.__name__: f for f in (problems, chains, parts, warm)}


def main() -> None:
    parser = ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="what to measure")
    parser.add_argument("--names", nargs="+", choices=ENTRIES, default=list(ENTRIES), help="which problems")
    parser.add_argument("--most", type=int, default=100_000, help="stages of the longest chain")
    parser.add_argument("--repeat", type=int, default=5, help="solves, of which the fastest counts")
    parser.add_argument("--tracks", type=Path, default=TRACKS, help="folder with Monza.csv and others")
    parser.add_argument("--quick", action="store_true", help="small sizes, one turn: does it run?")
    options = parser.parse_args()
    if options.quick:
        options.most = 100
    limit(1)
    console.print(machine(), "", sep="\n")
    for name in options.only:
        SECTIONS[name](options)


if __name__ == "__main__":
    main()
