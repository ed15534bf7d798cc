"""Newton's method on the band against SciPy and pytorch-minimize, the cart-pole's first author, and its own parts.

    pip install -c constraints.txt -e ".[bench]"    # without pytorch-minimize its rows are left out
    OMP_NUM_THREADS=1 python benchmarks/newton.py [--only problems cartpole ...] [--sizes 1000 10000] [--quick]
                                                  [--names genrose ...] [--limit 60] [--repeat 3]

In float64 on one thread, eager unless a row says otherwise. Ways run `--repeat` times in turn, of which the fastest
counts; one that takes longer than 2 s runs once.

    problems   those of banded.problems without constraints. Every solver stops where it likes, or after `--limit`
               seconds; solved is what ends within 1e-6 max(1, |f*|) of f*: the known optimum, or the least f found.
               "to 1e-6" is when f was first that low, trial points included, so that tolerances do not matter.
    cartpole   the first solve, and control with a receding horizon, against the author's way (replicated.py)
    chain      a Newton step of 10^6 unknowns against a gradient, and memory
    overhead   what an iteration takes besides evaluation, factorisation and solve
    batch      many problems at once

The peers' gradients are PyTorch's, their products with the Hessian backward passes through a graph that is kept. Of
their settings the better were kept: a trust region that starts as wide as the start is long and may grow without
limit, eigenvalues where a Hessian is not definite; L-BFGS has two histories.
"""

from __future__ import annotations

import argparse
import signal
import time
import timeit
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from descent import COMPILED, EAGER, NODES, PROBLEM, REPLICATED, Run, equality, newton_on_the_band, replicated
from extraction import fresh, limit, machine, reset_peak, status
from peers import Skipped, optional
from replicated import Replicated
from rich.console import Console
from rich.table import Column, Table
from scipy.linalg import solve_banded
from scipy.optimize import minimize
from torch import Tensor

import banded
from banded.hessian import layout
from banded.optimize.line_search import LineSearch
from banded.optimize.multipliers import AugmentedLagrangian, rounds
from banded.optimize.workspace import Workspace
from banded.problems import PROBLEMS, Problem, engval1, rosenbrock

LEVEL = 1e-6
PATIENCE = 2.0  # seconds of a turn after which there is no other
DENSE = 1_000  # unknowns up to which a full Hessian is taken
PENALTY, STEPS = 100.0, 4  # of the receding horizon: ρ, and Newton steps in each of its own
LONG = 10**7  # iterations, which come after the time limit
console = Console(width=170, highlight=False)


@dataclass(frozen=True)
class Scale:
    sizes: tuple[int, ...]
    names: tuple[str, ...]
    limit: float
    repeat: int
    control: int = 100  # steps of the receding horizon
    chain: int = 1_000_000
    small: int = 500


class Late(KeyboardInterrupt):
    """The time is up; minimize takes it as the user's Ctrl-C."""


def alarm(*_: object) -> None:
    raise Late


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
        self.problem, self.solve, self.started = problem, Solve(), time.perf_counter()
        self.leaf = self.gradient = torch.empty(0)

    def __call__(self, x: Tensor) -> Tensor:
        value = self.problem.objective(x)
        self.solve.evaluations += 1
        if (number := value.item()) < self.solve.value:
            self.solve.value = number
            self.solve.trace.append((time.perf_counter() - self.started, number))
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


Peer = Callable[[Watched], Any]  # which gives SciPy's kind of result


def of_scipy(watched: Watched, method: str, options: dict[str, Any]) -> Any:
    second = {"hessp": watched.product} if method == "trust-krylov" else {}
    f, start = partial(watched.both, graph=bool(second)), watched.problem.start.numpy()
    options = {"maxiter": LONG, **options}
    return minimize(f, start, jac=True, method=method, callback=watched.count, options=options, **second)


def of_torchmin(watched: Watched, method: str, options: dict[str, Any]) -> Any:
    solver = optional("torchmin")
    return solver.minimize(watched, watched.problem.start, method, callback=watched.count, options=options)


def lbfgs(watched: Watched, history: int) -> Any:
    options = {"maxcor": history, "ftol": 0, "gtol": 1e-8, "maxfun": LONG, "maxls": 50}
    return of_scipy(watched, "L-BFGS-B", options)


def trust(watched: Watched, of: Callable[[Watched, str, dict[str, Any]], Any], method: str) -> Any:
    """The gradient's Euclidean norm within that of a vector of 1e-8, what minimize asks of each entry."""
    start = watched.problem.start
    options = {"initial_trust_radius": max(1.0, float(start.norm())), "max_trust_radius": 1e9}
    return of(watched, method, {"gtol": 1e-8 * len(start) ** 0.5, **options})


def newton(watched: Watched, method: str, **options: Any) -> Any:
    """Until a step changes unknowns by 1e-8, on average."""
    if method == "newton-exact" and len(watched.problem.start) > DENSE:
        raise Skipped(f"a full Hessian is only taken up to {DENSE:,} unknowns")
    return of_torchmin(watched, method, {"xtol": 1e-8, "max_iter": LONG, **options})


OURS = {"banded, line search": "line search", "banded, trust region": "trust region"}
FIRST = next(iter(OURS))
PEERS: dict[str, Peer] = {
    "SciPy trust-krylov": partial(trust, of=of_scipy, method="trust-krylov"),
    "SciPy L-BFGS-B, 10": partial(lbfgs, history=10),
    "SciPy L-BFGS-B, 50": partial(lbfgs, history=50),
    "torchmin newton-cg": partial(newton, method="newton-cg"),
    "torchmin newton-exact": partial(newton, method="newton-exact", handle_npd="eig"),
    "torchmin trust-ncg": partial(trust, of=of_torchmin, method="trust-ncg"),
    "torchmin trust-krylov": partial(trust, of=of_torchmin, method="trust-krylov"),
}


def ours(plan: banded.Plan, start: Any, way: str) -> Solve:
    found = banded.minimize(plan, start, globalisation=way, progress=False, max_iterations=LONG)
    trace = [(record.seconds, record.value) for record in found.history]
    return Solve(trace, found.value, found.iterations, found.evaluations, found.seconds, found.status.name.lower())


def theirs(peer: Peer, problem: Problem) -> Solve:
    watched = Watched(problem)
    solve = watched.solve
    try:
        found = peer(watched)
        solve.value, solve.status = float(found.fun), " ".join(str(found.message).split())
    except Late:
        solve.status = "time limit"
    except (ArithmeticError, AssertionError, RuntimeError, ValueError) as error:
        solve.status = f"{type(error).__name__}: {error}"
    solve.seconds = time.perf_counter() - watched.started
    return solve


def race(problem: Problem, scale: Scale, skipped: dict[str, str]) -> tuple[float, dict[str, Solve]]:
    """Seconds to make the plan, and the fastest solve of each."""
    make = partial(banded.plan, problem.objective, problem.start, bandwidth=problem.bandwidth)
    planning, plan = min(timeit.repeat(make, number=1, repeat=scale.repeat)), make()
    ways = {name: partial(ours, plan, problem.start, way) for name, way in OURS.items()}
    ways |= {name: partial(theirs, peer, problem) for name, peer in PEERS.items()}
    solves: dict[str, Solve] = {}
    for turn in range(scale.repeat):
        for name, way in ways.items():
            if turn and (name not in solves or solves[name].seconds > PATIENCE):
                continue
            signal.setitimer(signal.ITIMER_REAL, scale.limit)
            try:
                solve = way()
            except Skipped as reason:
                skipped[name] = str(reason)
                continue
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            if not turn or solve.seconds < solves[name].seconds:
                solves[name] = solve
    return planning, solves


def problems(scale: Scale) -> None:
    """Solvers against each other."""
    signal.signal(signal.SIGALRM, alarm)
    for size in scale.sizes:
        ratios: dict[str, list[list[float]]] = defaultdict(list)
        solved, skipped = Counter[str](), dict[str, str]()
        for name in scale.names:
            problem = PROBLEMS[name](size - size % 3 if name.startswith("dixmaan") else size)
            banded.minimize(problem.objective, problem.start, max_iterations=1, progress=False)  # all is loaded
            planning, solves = race(problem, scale, skipped)
            optimum = problem.optimum
            optimum = min(solve.value for solve in solves.values()) if optimum is None else optimum
            goal, first = optimum + LEVEL * max(1.0, abs(optimum)), solves[FIRST]
            show(f"{name}, n = {len(problem.start):,}, f* = {optimum:.12g}", planning, solves, optimum, goal)
            for way, solve in solves.items():
                solved[way] += solve.value <= goal
                if max(solve.value, first.value) <= goal:
                    spans = (solve.seconds, first.seconds), (solve.reached(goal), first.reached(goal))
                    ratios[way].append(
                        [one / other for one, other in (*spans, (solve.seconds, first.seconds + planning))]
                    )
        heads = ("solved", "time / first's", "least", "most", "to 1e-6 / first's", "time / first's with plan")
        table = Table("", *(Column(head, justify="right") for head in heads), box=None, pad_edge=False)
        for way, rows in ratios.items():
            logs = np.log(rows)
            numbers = np.exp([logs[:, 0].mean(), logs[:, 0].min(), logs[:, 0].max(), *logs[:, 1:].mean(0)])
            table.add_row(way, f"{solved[way]} of {len(scale.names)}", *(f"{number:.3g}" for number in numbers))
        console.print(f"n = {size:,}, geometric means over what both solved, {FIRST} being first", style="bold")
        console.print(table, *(f"{way}: not run, {reason}" for way, reason in skipped.items()), "", sep="\n")


def show(title: str, planning: float, solves: dict[str, Solve], optimum: float, goal: float) -> None:
    heads = ("plan ms", "solve ms", "/ first", "to 1e-6 ms", "iterations", "evaluations", "f", "f - f*")
    columns = [Column(head, justify="right") for head in heads]
    table = Table("", *columns, Column("", no_wrap=True), box=None, pad_edge=False)
    for name, solve in solves.items():
        table.add_row(
            name,
            f"{planning * 1e3:.1f}" if name in OURS else "",
            f"{solve.seconds * 1e3:,.1f}",
            f"{solve.seconds / solves[FIRST].seconds:.3g}",
            f"{solve.reached(goal) * 1e3:,.1f}",
            f"{solve.iterations:,}",
            f"{solve.evaluations:,}",
            f"{solve.value:.9g}",
            f"{solve.value - optimum:.1e}",
            ("" if solve.value <= goal else "NOT SOLVED: ") + solve.status[:50],
        )
    console.print(f"[bold]{title}[/bold]", table, "", sep="\n")


class Horizon:
    """L = f + Σ c (λ + ρ c) of the cart-pole from another state: that of `first` `(1, 5)`, whose force does not count."""

    def __init__(self, multipliers: Tensor) -> None:
        self.first, self.multipliers = torch.zeros(1, 5, dtype=torch.float64), multipliers.clone()

    def residuals(self, z: Tensor) -> Tensor:
        before = torch.cat([self.first, z[:-1]])
        _, _, velocity, angle, rate = ((before + z) / 2).unbind(1)
        rates = torch.stack([velocity, z[:, 0], rate, z[:, 0] * angle.cos() - angle.sin()], 1)
        return (z - before)[:, 1:] * (NODES / 10) - rates

    def __call__(self, z: Tensor) -> Tensor:
        c = self.residuals(z)
        return PROBLEM.objective(z) + (c * (self.multipliers + PENALTY * c)).sum()


Control = Callable[[int], tuple[Tensor, Tensor]]  # steps -> z and c at the end


def on_the_band(start: Tensor, multipliers: Tensor, compile: bool) -> Control:
    horizon = Horizon(multipliers)
    plan = banded.plan(horizon, start, bandwidth=PROBLEM.bandwidth, compile=compile)

    def control(steps: int) -> tuple[Tensor, Tensor]:
        z: Any = start
        horizon.multipliers.copy_(multipliers)
        for _ in range(steps):
            horizon.first.copy_(z[:1])
            horizon.multipliers.copy_(ahead(horizon.multipliers))
            z = banded.minimize(plan, ahead(z), max_iterations=STEPS, tolerance=0, progress=False).x
            horizon.multipliers += 2 * PENALTY * (c := horizon.residuals(z))
        return z, c

    return control


def on_copies(start: Tensor, multipliers: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Control in the author's way."""
    old = Replicated(NODES)
    half, old.penalty = old.copies // 2, PENALTY
    old.multipliers += multipliers
    z = torch.cat([start.new_zeros(1, 5), start]).repeat(old.copies, 1, 1)
    for _ in range(steps):
        z, old.multipliers = ahead(z, 1), ahead(old.multipliers, 1)
        for _ in range(STEPS):
            total, _, _, gradient, band = old.derivatives(z)
            step = torch.from_numpy(solve_banded((half, half), band, gradient)).reshape(-1, 5)
            z = old.backtrack(z.detach(), step, float(total.detach()))
        with torch.no_grad():
            old.multipliers += 2 * PENALTY * (c := old.loss(z)[2])
    return z[0, 1:], c[0]


def ahead(z: Tensor, dim: int = 0) -> Tensor:
    """By one node, the last one twice."""
    return torch.cat([z.narrow(dim, 1, z.shape[dim] - 1), z.narrow(dim, -1, 1)], dim)


def with_plan(name: str, optimum: float, compile: bool) -> Callable[[], Run]:
    """The first solve, with a plan made before: `minimize` takes none where there are constraints."""
    x = PROBLEM.start.reshape(-1)
    lagrangian = AugmentedLagrangian(PROBLEM.objective, equality, layout(PROBLEM.start, None, 0), x)
    plan = banded.plan(lagrangian, PROBLEM.start, bandwidth=PROBLEM.bandwidth, compile=compile)
    penalty = float(lagrangian.penalty)

    def solve() -> Run:
        run, count = Run(name, optimum), 0
        lagrangian.multipliers.zero_()
        lagrangian.penalty.fill_(penalty)
        for state in rounds(lagrangian, LineSearch(), plan, x, 1e-8):
            count += state.iterate.evaluations
            gap = abs(state.value / optimum - 1)
            run.rows.append((time.perf_counter() - run.started, count, float(state.violation or 0), gap))
        return run

    return solve


def cartpole(scale: Scale) -> None:
    """Where the idea began: the first solve, and control."""
    solution = PROBLEM.solve(progress=False, tolerance=1e-10)
    optimum, z, multipliers = solution.value, solution.x, solution.multipliers
    assert multipliers is not None
    ways: dict[str, Callable[[], Run]] = {REPLICATED: partial(replicated, optimum)}
    controls: dict[str, Control] = {REPLICATED: partial(on_copies, z, multipliers)}
    for name, compile in ((EAGER, False), (COMPILED, True)):
        ways[f"{name}, plan included"] = partial(newton_on_the_band, name, optimum, compile=compile)
        ways[f"{name}, plan given"] = with_plan(name, optimum, compile)
        controls[name] = on_the_band(z, multipliers, compile)
    turns = [{name: way() for name, way in ways.items()} for _ in range(scale.repeat + 1)][1:]  # compiled by then
    console.print(f"cart-pole, {NODES} nodes, from zero to max(|c|, gap) <= {LEVEL:.0e}", style="bold")
    times = {name: min(turn[name].reached(LEVEL) or (inf, 0) for turn in turns) for name in ways}
    for name, (seconds, evaluations) in times.items():
        speed = f"{times[REPLICATED][0] / seconds:5.2f} times as fast"
        console.print(f"  {name:32}{seconds * 1e3:8.1f} ms {evaluations:5d} evaluations {speed}")
    console.print(f"control: ahead by a node, {STEPS} Newton steps, ρ = {PENALTY:g}, λ updated", style="bold")
    fastest = dict.fromkeys(controls, inf)
    for name in [*controls] * scale.repeat:
        begun = time.perf_counter()
        controls[name](scale.control)
        fastest[name] = min(fastest[name], (time.perf_counter() - begun) / scale.control)
    for name, seconds in fastest.items():
        found, c = controls[name](scale.control)
        end = f"at the end f = {float(PROBLEM.objective(found)):.6f}, max |c| = {float(c.abs().max()):.1e}"
        speed = f"{fastest[REPLICATED] / seconds:5.2f} times as fast"
        console.print(f"  {name:20}{1 / seconds:7.1f} Hz, {STEPS / seconds:7.0f} Newton steps a second, {speed}; {end}")
    console.print()


def million(n: int, compile: bool, repeat: int) -> dict[str, float]:
    """Milliseconds and MB of ENGVAL1; to be run in a new process."""
    tiny, problem = engval1(50), engval1(n)
    banded.plan(tiny.objective, tiny.start, compile=compile)(tiny.start)  # so that most is loaded
    banded.minimize(tiny.objective, tiny.start, progress=False)
    reset_peak()
    x, base, begun = problem.start, status("VmRSS"), time.perf_counter()
    plan = banded.plan(problem.objective, x, compile=compile)
    _, gradient, H = plan.evaluate(x)
    found = {"plan and first evaluation, ms": 1e3 * (time.perf_counter() - begun)}
    found["peak of these, MB"] = (status("VmHWM") - base) / 1e6
    del gradient, H
    reset_peak()
    results = [banded.minimize(plan, x, progress=False) for _ in range(repeat)]
    found["peak of solving, plan included, MB"] = (status("VmHWM") - base) / 1e6
    fastest = min(results, key=lambda result: result.seconds)
    found |= {"iterations": fastest.iterations, "evaluations": fastest.evaluations}
    found["solve / iterations, ms"] = 1e3 * fastest.seconds / fastest.iterations
    _, gradient, H = plan.evaluate(x)
    compiler: Any = torch.compile
    run, leaf = compiler(torch.func.grad_and_value(problem.objective)), x.clone().requires_grad_()
    run(x)
    tries: dict[str, Callable[[], object]] = {
        "evaluation": lambda: plan.evaluate(x),
        "factor and solve": lambda: H.cholesky().solve(gradient),
        "value and gradient, eager": lambda: torch.autograd.grad(problem.objective(leaf), leaf),
        "value and gradient, compiled": lambda: run(x),
    }
    return found | {f"{name}, ms": 1e3 * min(timeit.repeat(call, number=1, repeat=7)) for name, call in tries.items()}


def chain(scale: Scale) -> None:
    """A million unknowns."""
    rows = {name: fresh(1, million, scale.chain, name == COMPILED, scale.repeat) for name in (EAGER, COMPILED)}
    table = Table("", *(Column(name, justify="right") for name in rows), box=None, pad_edge=False)
    for row in rows.values():
        step = row["solve / iterations, ms"]
        row |= {
            f"step in gradients, {kind}": step / row[f"value and gradient, {kind}, ms"]
            for kind in ("eager", "compiled")
        }
        row["peak of solving, bands of 16 n bytes"] = row["peak of solving, plan included, MB"] / (16e-6 * scale.chain)
    for key in rows[EAGER]:
        table.add_row(key, *(f"{row[key]:,.4g}" for row in rows.values()))
    console.print(f"[bold]ENGVAL1, n = {scale.chain:,}[/bold]; memory is above that before x", table, "", sep="\n")


def overhead(scale: Scale) -> None:
    """What minimize adds to evaluations, factorisations and solves; calls in turn, which find caches cold."""
    problem, original = rosenbrock(scale.small), Workspace.answer
    for name, compile in ((EAGER, False), (COMPILED, True)):
        plan = banded.plan(problem.objective, problem.start, bandwidth=1, compile=compile)
        solve = partial(banded.minimize, plan, problem.start, progress=False)
        seconds, found = min(timeit.repeat(solve, number=1, repeat=scale.repeat)), solve()
        x = plan.flatten(solve(max_iterations=found.iterations // 2).x)

        def step(plan: banded.Plan = plan, x: Tensor = x) -> Tensor:
            _, gradient, H = plan.evaluate(x)
            return H.cholesky().solve(gradient)

        one, each = min(timeit.repeat(step, number=20, repeat=30)) / 20, seconds / found.iterations
        calls, spent = Counter[str](), defaultdict[str, float](float)

        def answer(self: Workspace, kind: Any, *rest: Any, calls: Any = calls, spent: Any = spent) -> Any:
            begun = time.perf_counter()
            answers = original(self, kind, *rest)
            spent[kind.name.lower()] += time.perf_counter() - begun
            calls[kind.name.lower()] += 1
            return answers

        with patch.object(Workspace, "answer", answer):
            solve()
        looks = found.evaluations / found.iterations
        console.print(f"[bold]rosenbrock, n = {scale.small}, {name}[/bold]: {found.iterations} iterations, ", end="")
        console.print(
            f"{looks:.2f} evaluations each, {each * 1e3:.3f} ms; evaluation, factor and solve {one * 1e3:.3f};"
        )
        console.print(
            f"  overhead {(each - one) * 1e3:.3f} ms, target 0.3{'!' * (each - one > 3e-4)}; answers, watched:"
        )
        console.print(
            *(f"    {kind:12}{n:6d} x {spent[kind] / n * 1e6:7.1f} us" for kind, n in calls.items()), "", sep="\n"
        )


def batch(scale: Scale) -> None:
    """Many problems at once: to come with batched minimisation."""


SECTIONS = {f.__name__: f for f in (problems, cartpole, chain, overhead, batch)}


def main() -> None:
    names = [name for name, make in PROBLEMS.items() if name != "chain" and make(12).equality is None]
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="what to measure")
    parser.add_argument("--sizes", nargs="+", type=int, default=[1_000, 10_000], help="unknowns of the problems")
    parser.add_argument("--names", nargs="+", choices=names, default=names, help="which problems")
    parser.add_argument("--limit", type=float, default=60, help="seconds for one solve")
    parser.add_argument("--repeat", type=int, default=3, help="turns of each way, the fastest counts")
    parser.add_argument("--quick", action="store_true", help="small sizes, one turn: does it run?")
    options = parser.parse_args()
    limit(1)
    console.print(machine(), "")
    scale = Scale(tuple(options.sizes), tuple(options.names), options.limit, options.repeat)
    if options.quick:
        scale = Scale((60,), scale.names, limit=5, repeat=1, control=5, chain=10_000, small=60)
    for name in options.only:
        SECTIONS[name](scale)


if __name__ == "__main__":
    main()
