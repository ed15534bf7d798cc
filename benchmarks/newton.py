"""Newton's method on the band against SciPy and pytorch-minimize, the cart-pole's first author, and its own parts.

    OMP_NUM_THREADS=1 python benchmarks/newton.py [--only problems cartpole ...] [--sizes 1000 10000] [--quick]
                                                  [--names genrose ...] [--limit 60] [--repeat 3]

In float64 on one thread, eager unless a row says otherwise. The fastest of `--repeat` turns counts; there is one where
it takes longer than 2 s. What is not installed is left out.

    problems   those of banded.problems without constraints. Every solver stops where it likes, or after `--limit`
               seconds; solved is what ends within 1e-6 max(1, |f*|) of f*: the known optimum, or the least f found.
               "to 1e-6" is when f was first that low, trial points included, so that tolerances do not matter.
    cartpole   the first solve, and control with a receding horizon, against the author's way (receding.py)
    chain      a Newton step of 10^6 unknowns against a gradient, and memory
    overhead   what an iteration takes besides evaluation, factorisation and solve

The peers' gradients are PyTorch's, their products with the Hessian backward passes through a graph that is kept. Of
their settings the better were kept: a trust region that starts as wide as the start is long and may grow without
limit, eigenvalues where a Hessian is not definite; L-BFGS has two histories.
"""

from __future__ import annotations

import signal
import time
import timeit
from argparse import ArgumentParser, Namespace
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import Any

import numpy as np
import torch
from descent import COMPILED, EAGER
from extraction import fresh, limit, machine, reset_peak, status
from peers import FULL, Skipped, optional
from receding import LEVEL, cartpole
from rich.console import Console
from rich.table import Column, Table
from scipy.optimize import minimize
from torch import Tensor

import banded
from banded.problems import PROBLEMS, Problem, engval1, rosenbrock

PATIENCE = 2.0  # seconds of a turn after which there is no other
ONE = "_, gradient, H = plan.evaluate(x); H.cholesky().solve(gradient)"
LONG = 10**7  # iterations, which come after the time limit
console = Console(width=180, highlight=False)


@dataclass
class Solve:
    """A solver's way: seconds and f at every point better than all before, and how it ended."""

    trace: list[tuple[float, float]] = field(default_factory=list)
    value: float = inf
    iterations: int = 0
    evaluations: int = 0
    seconds: float = inf
    status: str = ""

    def reached(self, goal: float) -> float:
        return next((seconds for seconds, value in self.trace if value <= goal), inf)


class Watched:
    """f with its derivatives for peers, in NumPy for SciPy, and what becomes of f."""

    def __init__(self, problem: Problem) -> None:
        self.f, self.start, self.solve, self.begun = problem.objective, problem.start, Solve(), time.perf_counter()
        self.leaf = self.gradient = torch.empty(0)

    def __call__(self, x: Tensor) -> Tensor:
        value = self.f(x)
        self.solve.evaluations += 1
        if (number := value.item()) < self.solve.value:
            self.solve.value = number
            self.solve.trace.append((time.perf_counter() - self.begun, number))
        return value

    def both(self, x: Any, graph: bool) -> tuple[float, Any]:
        self.leaf = torch.tensor(x, requires_grad=True)
        value = self(self.leaf)
        (self.gradient,) = torch.autograd.grad(value, self.leaf, create_graph=graph)
        return value.item(), self.gradient.detach().numpy()

    def product(self, x: Any, v: Any) -> Any:
        if not np.array_equal(x, self.leaf.detach()):  # after a step that was refused
            self.both(x, graph=True)
        return torch.autograd.grad(self.gradient, self.leaf, torch.from_numpy(v), retain_graph=True)[0].numpy()

    def count(self, *_: object) -> None:
        self.solve.iterations += 1


def of_scipy(watched: Watched, method: str, **options: Any) -> Any:
    second = {"hessp": watched.product} if method == "trust-krylov" else {}
    f, options = partial(watched.both, graph=bool(second)), {"maxiter": LONG, **options}
    return minimize(f, watched.start.numpy(), (), method, True, callback=watched.count, options=options, **second)


def of_torchmin(watched: Watched, method: str, **options: Any) -> Any:
    if method == "newton-exact" and len(watched.start) > FULL:
        raise Skipped(f"a full Hessian is only taken up to {FULL:,} unknowns")
    return optional("torchmin").minimize(watched, watched.start, method, callback=watched.count, options=options)


def trust(watched: Watched, of: Callable[..., Any], method: str) -> Any:
    """The gradient's Euclidean norm within that of a vector of 1e-8, what minimize asks of each entry."""
    size, tolerance = max(1.0, float(watched.start.norm())), 1e-8 * len(watched.start) ** 0.5
    return of(watched, method, initial_trust_radius=size, max_trust_radius=1e9, gtol=tolerance)


OURS = {"banded, line search": "line search", "banded, trust region": "trust region"}
FIRST = next(iter(OURS))
LBFGS = partial(of_scipy, method="L-BFGS-B", ftol=0, gtol=1e-8, maxfun=LONG, maxls=50)
NEWTON = partial(of_torchmin, xtol=1e-8, max_iter=LONG)  # until a step changes unknowns by 1e-8, on average
PEERS: dict[str, Callable[[Watched], Any]] = {
    "SciPy trust-krylov": partial(trust, of=of_scipy, method="trust-krylov"),
    "SciPy L-BFGS-B, 10": partial(LBFGS, maxcor=10),
    "SciPy L-BFGS-B, 50": partial(LBFGS, maxcor=50),
    "torchmin newton-cg": partial(NEWTON, method="newton-cg"),
    "torchmin newton-exact": partial(NEWTON, method="newton-exact", handle_npd="eig"),
    "torchmin trust-ncg": partial(trust, of=of_torchmin, method="trust-ncg"),
    "torchmin trust-krylov": partial(trust, of=of_torchmin, method="trust-krylov"),
}


def ours(plan: banded.Plan, start: Any, way: str) -> Solve:
    found = banded.minimize(plan, start, globalisation=way, progress=False, max_iterations=LONG)
    trace = [(record.seconds, record.value) for record in found.history]
    return Solve(trace, found.value, found.iterations, found.evaluations, found.seconds, found.status.name.lower())


def theirs(peer: Callable[[Watched], Any], problem: Problem) -> Solve:
    solve = (watched := Watched(problem)).solve
    try:
        found = peer(watched)
        solve.value, solve.status = float(found.fun), " ".join(str(found.message).split())
    except KeyboardInterrupt:
        solve.status = "time limit"
    except (ArithmeticError, AssertionError, RuntimeError, ValueError) as error:
        solve.status = f"{type(error).__name__}: {error}"
    solve.seconds = time.perf_counter() - watched.begun
    return solve


def race(problem: Problem, options: Namespace, skipped: dict[str, str]) -> tuple[float, dict[str, Solve]]:
    """Seconds to make the plan, and the fastest solve of each."""
    make = partial(banded.plan, problem.objective, problem.start, bandwidth=problem.bandwidth)
    planning, plan = min(timeit.repeat(make, number=1, repeat=options.repeat)), make()
    ways = {name: partial(ours, plan, problem.start, way) for name, way in OURS.items()}
    ways |= {name: partial(theirs, peer, problem) for name, peer in PEERS.items()}
    solves: dict[str, Solve] = {}
    for turn in range(options.repeat):
        for name, way in ways.items():
            if turn and (name not in solves or solves[name].seconds > PATIENCE):
                continue
            signal.setitimer(signal.ITIMER_REAL, options.limit)
            try:
                solve = way()
            except Skipped as reason:
                skipped[name] = str(reason)
            else:
                solves[name] = min(solves.get(name, solve), solve, key=lambda one: one.seconds)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
    return planning, solves


def problems(options: Namespace) -> None:
    """Solvers against each other."""
    signal.signal(signal.SIGALRM, signal.default_int_handler)  # minimize gives back what it has
    for size in options.sizes:
        ratios: dict[str, list[list[float]]] = defaultdict(list)
        solved, skipped = Counter[str](), dict[str, str]()
        for name in options.names:
            problem = PROBLEMS[name](size - size % 3 if name.startswith("dixmaan") else size)
            banded.minimize(problem.objective, problem.start, max_iterations=1, progress=False)  # all is loaded
            planning, solves = race(problem, options, skipped)
            found = min(solve.value for solve in solves.values())
            optimum = found if problem.optimum is None else problem.optimum
            goal, first = optimum + LEVEL * max(1.0, abs(optimum)), solves[FIRST]
            show(f"{name}, n = {len(problem.start):,}, f* = {optimum:.12g}", planning, solves, optimum, goal)
            for way, solve in solves.items():
                solved[way] += solve.value <= goal
                if max(solve.value, first.value) <= goal:
                    to = solve.reached(goal) / first.reached(goal)
                    included = solve.seconds / (first.seconds + planning)
                    ratios[way].append([solve.seconds / first.seconds, to, included])
        table = columns(("solved", "time / first's", "least", "most", "to 1e-6 / first's", "time / first's with plan"))
        for way, count in solved.items():
            logs = np.log(ratios[way] or [[np.nan] * 3])
            numbers = np.exp([logs[:, 0].mean(), logs[:, 0].min(), logs[:, 0].max(), *logs[:, 1:].mean(0)])
            table.add_row(way, f"{count} of {len(options.names)}", *(f"{number:.3g}" for number in numbers))
        console.print(f"n = {size:,}, geometric means over what both solved, {FIRST} being first", style="bold")
        console.print(table, *(f"{way}: not run, {reason}" for way, reason in skipped.items()), "", sep="\n")


def show(title: str, planning: float, solves: dict[str, Solve], optimum: float, goal: float) -> None:
    table = columns(("plan ms", "solve ms", "/ first", "to 1e-6 ms", "iterations", "evaluations", "f", "f - f*"))
    table.add_column(no_wrap=True)
    for name, solve in solves.items():
        cells = [f"{planning * 1e3:.1f}" if name in OURS else "", f"{solve.seconds * 1e3:,.1f}"]
        cells += [f"{solve.seconds / solves[FIRST].seconds:.3g}", f"{solve.reached(goal) * 1e3:,.1f}"]
        cells += [f"{solve.iterations:,}", f"{solve.evaluations:,}", f"{solve.value:.9g}"]
        ended = ("" if solve.value <= goal else "NOT SOLVED: ") + solve.status[:50]
        table.add_row(name, *cells, f"{solve.value - optimum:.1e}", ended)
    console.print(f"[bold]{title}[/bold]", table, "", sep="\n")


def columns(heads: Iterable[str]) -> Table:
    return Table(Column(no_wrap=True), *(Column(head, justify="right") for head in heads), box=None, pad_edge=False)


def million(n: int, compile: bool, repeat: int) -> dict[str, float]:
    """Milliseconds and MB of ENGVAL1; to be run in a new process."""
    tiny, problem = engval1(50), engval1(n)
    for way in (False, compile):
        banded.minimize(tiny.objective, tiny.start, compile=way, progress=False)  # so that most is loaded
    reset_peak()
    x, base, begun = problem.start, status("VmRSS"), time.perf_counter()
    plan = banded.plan(problem.objective, x, compile=compile)
    found = {"plan, ms": 1e3 * (time.perf_counter() - begun), "peak of it, MB": (status("VmHWM") - base) / 1e6}
    reset_peak()
    results = (banded.minimize(plan, x, progress=False) for _ in range(repeat + 1))
    fastest, peak = min(results, key=lambda result: result.seconds), status("VmHWM") - base
    found |= {"peak of solving, MB": peak / 1e6, "peak in bands of 2 n numbers": peak / (16 * n)}
    found["evaluations"], found["iterations"] = fastest.evaluations, fastest.iterations
    found["solve / iterations, ms"] = 1e3 * fastest.seconds / fastest.iterations
    _, gradient, H = plan.evaluate(x)
    compiler: Any = torch.compile
    run, leaf = compiler(torch.func.grad_and_value(problem.objective)), x.clone().requires_grad_()
    tries: dict[str, Callable[[], object]] = {
        "evaluation, ms": lambda: plan.evaluate(x),
        "factor and solve, ms": lambda: H.cholesky().solve(gradient),
        "gradient, eager, ms": lambda: torch.autograd.grad(problem.objective(leaf), leaf),
        "gradient, compiled, ms": lambda: run(x),
    }
    found |= {name: 1e3 * min(timeit.repeat(call, number=1, repeat=7)) for name, call in tries.items()}
    steps = {kind: found["solve / iterations, ms"] / found[f"gradient, {kind}, ms"] for kind in ("eager", "compiled")}
    return found | {f"step in gradients, {kind}": step for kind, step in steps.items()}


def chain(options: Namespace) -> None:
    """A million unknowns."""
    rows = {name: fresh(1, million, options.million, name == COMPILED, options.repeat) for name in (EAGER, COMPILED)}
    table = columns(rows)
    for key in rows[EAGER]:
        table.add_row(key, *(f"{row[key]:,.4g}" for row in rows.values()))
    console.print(f"[bold]ENGVAL1, n = {options.million:,}[/bold]; memory above that with x", table, "", sep="\n")


def overhead(options: Namespace) -> None:
    """What minimize adds to an evaluation, a factorisation and a solve, one after the other: caches are cold."""
    problem = rosenbrock(options.small)
    for name in (EAGER, COMPILED):
        plan = banded.plan(problem.objective, problem.start, bandwidth=1, compile=name == COMPILED)
        ones, times = [], []
        for _ in range(options.repeat + 1):
            found = banded.minimize(plan, problem.start, progress=False)
            times.append(found.seconds / found.iterations * 1e3)
            ones.append(timeit.timeit(ONE, number=500, globals={"plan": plan, "x": problem.start}) * 2)
        over, looks = min(times) - min(ones), found.evaluations / found.iterations
        console.print(f"[bold]rosenbrock, n = {options.small}, {name}[/bold]: {found.iterations} iterations", end=" ")
        console.print(f"of {min(times):.3f} ms, {looks:.2f} evaluations each;", end=" ")
        console.print(f"one, factor and solve {min(ones):.3f}; {over:.3f} more, target 0.3{'!' * (over > 0.3)}")


SECTIONS = {f.__name__: f for f in (problems, cartpole, chain, overhead)}


def main() -> None:
    made = {name: make() for name, make in PROBLEMS.items() if name != "chain"}
    names = [name for name, one in made.items() if not (one.equality or one.inequality or one.bounds)]
    parser = ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="what to measure")
    parser.add_argument("--sizes", nargs="+", type=int, default=[1_000, 10_000], help="unknowns of the problems")
    parser.add_argument("--names", nargs="+", choices=names, default=names, help="which problems")
    parser.add_argument("--limit", type=float, default=60, help="seconds for one solve")
    parser.add_argument("--repeat", type=int, default=3, help="turns of each way, the fastest counts")
    parser.add_argument("--quick", action="store_true", help="small sizes, one turn: does it run?")
    parser.set_defaults(million=1_000_000, small=500)
    options = parser.parse_args()
    if options.quick:
        options.sizes, options.million, options.small, options.limit, options.repeat = [60], 10_000, 60, 5, 1
    limit(1)
    console.print(machine(), "")
    for name in options.only:
        SECTIONS[name](options)


if __name__ == "__main__":
    main()
