"""Newton on the band against the author's replicated way, gradient descent, Adam and L-BFGS: time to equal accuracy.

The cart-pole on 100 nodes (495 unknowns, 396 constraints), from zero, in float64, on one thread:

    OMP_NUM_THREADS=1 python benchmarks/descent.py [--budget 60] [--repeat 5] [--plot descent.png] [--profile]

Error is the larger of max |c| and |f - f*| / f*. Printed are the seconds and the
evaluations until it is first within 1e-1, 1e-2, 1e-3 and 1e-6, and drawn is the
error against time. `minimize` takes the constraints as such; all others minimise f + Σ c (λ + ρ c),
in rounds: λ <- λ + 2ρc, and ρ tenfold from 0.1. Reading f and c for their record is not counted
as time, and coming within an error in passing counts.

The Newton methods run `--repeat` times in turn, of which the fastest counts. Those of
torch.optim run once, until 1e-6 or for `--budget` seconds; they may hold ρ at a cap,
and need not grow it after a round that has cut the violation tenfold. A round
ends when max |∇L| <= gate · shrink^round. Of these settings the best was kept, by hand, from
runs of 10 to 25 s:

    all               gate 0.01 to 10, shrink 0.1 to 0.5, ρ at most 10, 30, 100, 1000, 1e4
    gradient descent  rate 1, 1.5, 1.9, 2.2 (diverges) / curvature of L, which grows with ρ
    momentum          rate 1, 1.3 / curvature; 0.9, 0.99 (plain and Nesterov), 0.995, 0.997, 0.999, 0.9995
    Adam              rate 0.003 to 0.1, times 0.3 to 1 per round; β1 0.9, 0.99, 0.995; β2 0.99,
                      0.999, 0.9999; at most 1000 to 20000 steps per round
    L-BFGS            history 10, 20, 30, 40, 100; at most 200, 1000, 2000, 3000 steps per round
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import itertools
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from costs import costs, profile
from replicated import Replicated
from torch import Tensor

import banded
from banded.problems import cartpole

NODES = 100
PROBLEM = cartpole(NODES)
assert PROBLEM.equality is not None
equality = PROBLEM.equality
LEVELS = (1e-1, 1e-2, 1e-3, 1e-6)
EAGER, COMPILED, REPLICATED = "banded, eager", "banded, compiled", "replicated"


class Done(Exception):
    """The target is met or the budget spent."""


@dataclass
class Run:
    """One method's way to f*: its clock stands still while it is being read.

    Attributes:
        rows: seconds, evaluations, violation, relative gap.
    """

    name: str
    optimum: float
    budget: float = float("inf")
    target: float = LEVELS[-1]
    rows: list[tuple[float, int, float, float]] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)

    def add(self, evaluations: int, value: Tensor, residual: Tensor) -> None:
        """Record a point.

        Raises:
            Done: if there is no need for another.
        """
        now = time.perf_counter()
        violation, gap = float(residual.detach().abs().max()), abs(float(value.detach()) / self.optimum - 1)
        self.rows.append((now - self.started, evaluations, violation, gap))
        if max(violation, gap) <= self.target or now - self.started > self.budget:
            raise Done
        self.started += time.perf_counter() - now

    def reached(self, level: float) -> tuple[float, int] | None:
        """Seconds and evaluations to an error within `level`, or None."""
        return next((row[:2] for row in self.rows if max(row[2:]) <= level), None)

    def tightest(self) -> float | None:
        """The last of the levels that it reached."""
        return next((level for level in reversed(LEVELS) if self.reached(level)), None)


def newton_on_the_band(name: str, optimum: float, result: banded.Result | None = None, **options: Any) -> Run:
    """The way of a result, or of a solve with these options."""
    result = result or PROBLEM.solve(progress=False, **options)
    rows = [(r.seconds, r.evaluations, float(r.violation or 0), abs(r.value / optimum - 1)) for r in result.history]
    return Run(name, optimum, rows=rows)


def replicated(optimum: float) -> Run:
    run = Run(REPLICATED, optimum)
    with contextlib.suppress(Done):
        Replicated(NODES).solve(run.add)
    return run


@dataclass(frozen=True)
class Descent:
    """An optimiser of torch.optim and how its rounds end.

    Attributes:
        make: unknowns, ρ, round, gradient tolerance -> optimiser of that round.
        gate, shrink: of the gradient at the end of a round, see above.
        cap: the largest ρ.
        steps: calls of the optimiser in a round, at most.
    """

    name: str
    make: Callable[[Tensor, float, int, float], torch.optim.Optimizer]
    gate: float
    shrink: float
    cap: float
    steps: int


def curvature(penalty: float) -> float:
    """About the largest eigenvalue of ∇²L: 2ρ (2 / step)² from the difference quotients in c, and that of f."""
    return 2 * penalty * (2 * NODES / 10) ** 2 + 6


def plain(z: Tensor, rho: float, number: int, tolerance: float) -> torch.optim.Optimizer:
    return torch.optim.SGD([z], lr=1.9 / curvature(rho))


def momentum(z: Tensor, rho: float, number: int, tolerance: float) -> torch.optim.Optimizer:
    return torch.optim.SGD([z], lr=1 / curvature(rho), momentum=0.999, nesterov=True)


def adam(z: Tensor, rho: float, number: int, tolerance: float) -> torch.optim.Optimizer:
    return torch.optim.Adam([z], lr=0.02 * 0.6**number, betas=(0.99, 0.99))


def lbfgs(z: Tensor, rho: float, number: int, tolerance: float) -> torch.optim.Optimizer:
    return torch.optim.LBFGS(
        [z],
        max_iter=2000,
        max_eval=4000,
        history_size=40,
        tolerance_grad=tolerance,
        tolerance_change=1e-11,
        line_search_fn="strong_wolfe",
    )


DESCENTS = (
    Descent("gradient descent", plain, gate=3, shrink=0.5, cap=10, steps=20_000),
    Descent("Nesterov momentum", momentum, gate=1, shrink=0.3, cap=100, steps=200_000),
    Descent("Adam", adam, gate=3, shrink=0.3, cap=100, steps=5_000),
    Descent("L-BFGS", lbfgs, gate=3, shrink=0.3, cap=1000, steps=1),
)


def descend(method: Descent, optimum: float, budget: float) -> Run:
    """Multiplier rounds with an optimiser of torch.optim; every tenth evaluation is recorded, trial points included."""
    z = PROBLEM.start.clone().requires_grad_()
    multipliers, rho, last, evaluations = torch.zeros_like(equality(z)), 0.1, 0.0, 0
    gradient, run = z, Run(method.name, optimum, budget)

    def closure() -> Tensor:
        nonlocal evaluations, gradient
        f, c = PROBLEM.objective(z), equality(z)
        total = f + (c * (multipliers + rho * c)).sum()
        (gradient,) = torch.autograd.grad(total, z)
        z.grad = gradient
        evaluations += 1
        if evaluations % 10 == 0:
            run.add(evaluations, f, c)
        return total

    try:
        for number in itertools.count():
            tolerance = max(method.gate * method.shrink**number, 1e-8)
            optimizer = method.make(z, rho, number, tolerance)
            for step in range(1, method.steps + 1):
                optimizer.step(closure)  # type: ignore[arg-type]  # typed as giving a float
                if step % 10 == 0 and float(gradient.abs().max()) <= tolerance:
                    break
            with torch.no_grad():
                c = equality(z)
                multipliers += 2 * rho * c
            violation = float(c.abs().max())
            rho, last = min(rho * 10, method.cap) if violation > 0.1 * last else rho, violation
    except Done:
        pass
    return run


def table(runs: list[Run]) -> Iterator[str]:
    """Lines: seconds and evaluations to each level, and the time in units of the first run's."""
    yield "".join([f"{'error within':18}", *(f"{level:>18.0e}" for level in LEVELS), f"{'time / eager':>18}"])
    for run in runs:
        reached = [run.reached(level) for level in LEVELS]
        cells = [f"{r[0]:9.4g} s {r[1]:6d}" if r else "-" for r in reached]
        level = run.tightest()
        mine, eager = (r.reached(level) if level else None for r in (run, runs[0]))
        ratio = f"{mine[0] / eager[0]:.4g} at {level:.0e}" if mine and eager else "-"
        yield "".join([f"{run.name:18}", *(f"{cell:>18}" for cell in cells), f"{ratio:>18}"])
    for run in runs:
        if run.tightest() != LEVELS[-1]:
            best = min(run.rows, key=lambda row: max(row[2:]))
            yield f"{run.name}: came to violation {best[2]:.1e}, gap {best[3]:.1e} in {run.rows[-1][0]:.0f} s"


def draw(runs: list[Run], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.5), layout="constrained")
    axes = figure.subplots()
    for color, run in enumerate(runs):
        seconds, _, violation, gap = np.array(run.rows).T
        error = np.maximum(violation, gap)
        axes.loglog(seconds, error, color=f"C{color}", alpha=0.25, linewidth=0.7)
        axes.loglog(seconds, np.minimum.accumulate(error), color=f"C{color}", linewidth=2, label=run.name)
    for level in LEVELS:
        axes.axhline(level, color="grey", linewidth=0.6, linestyle=":")
    axes.set(xlabel="seconds", ylabel="max(|c|, |f - f*| / f*)", ylim=(LEVELS[-1] / 10, 10))
    axes.set_title(f"cart-pole, {NODES} nodes, one thread; bold: best so far, thin: as recorded")
    axes.legend(loc="lower left")
    figure.savefig(path, dpi=150)


def notes(cost: dict[str, float]) -> Iterator[str]:
    """Lines: what an evaluation in the table is."""
    names = {"products": EAGER, "compiled": COMPILED, "replicated": REPLICATED}
    gradients = ", ".join(f"{cost[key] / cost['gradient']:.1f} ({name})" for key, name in names.items())
    yield "evaluations: of banded, nearly all with all derivatives; replicated, about half, the rest in line searches;"
    yield f"of torch.optim, all with the gradient ({cost['gradient'] * 1e6:.0f} us)."
    yield f"One with derivatives costs, in gradients, {gradients}"


def ahead(first: Run, second: Run, level: float) -> bool:
    """Whether `first` is there before `second`, if that comes at all."""
    mine, other = first.reached(level), second.reached(level)
    return other is None or (mine is not None and mine[0] < other[0])


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())
    return f"{model}, torch {torch.__version__}, {torch.get_num_threads()} thread, Python {platform.python_version()}"


def compare(budget: float, repeat: int) -> list[Run]:
    """All the runs; f* is found, cross-checked and printed first."""
    optimum = PROBLEM.solve(progress=False, tolerance=1e-10).value
    other = Replicated(NODES, cut=1e-13).solve(Run("", optimum, target=0).add)
    print(f"f* = {optimum:.9g} by minimize, {other:.9g} by the replicated way")
    start = time.perf_counter()
    PROBLEM.solve(progress=False, compile=True)
    setup = time.perf_counter() - start
    methods: list[Callable[[], Run]] = [
        functools.partial(newton_on_the_band, EAGER, optimum),
        functools.partial(newton_on_the_band, COMPILED, optimum, compile=True),
        functools.partial(replicated, optimum),
    ]
    rounds = [[method() for method in methods] for _ in range(repeat)]
    runs = [min(column, key=lambda run: run.rows[-1][0]) for column in zip(*rounds, strict=True)]
    print(f"first compiled solve {setup:.1f} s, later ones {runs[1].rows[-1][0]:.3f} s")
    return runs + [descend(method, optimum, budget) for method in DESCENTS]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--budget", type=float, default=60, help="seconds for each method of torch.optim")
    parser.add_argument("--repeat", type=int, default=5, help="runs of each Newton method, the fastest counts")
    parser.add_argument("--plot", type=Path, default=Path("descent.png"), help="where to draw the curves")
    parser.add_argument("--profile", action="store_true", help="say where the time of the banded solves goes")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(machine())
    runs = compare(arguments.budget, arguments.repeat)
    print(*table(runs), sep="\n")
    draw(runs, arguments.plot)
    cost = costs(PROBLEM)
    print(*notes(cost), sep="\n")
    if arguments.profile:
        print(*profile(PROBLEM, EAGER), *profile(PROBLEM, COMPILED, compile=True), sep="\n")
        print("one evaluation, the fastest of 100:")
        print(*(f"  {name:40}{seconds * 1e6:8.0f} us" for name, seconds in cost.items()), sep="\n")
    lost = [f"{run.name} at {level:.0e}" for run in runs[3:] for level in LEVELS if not ahead(runs[0], run, level)]
    print(f"sooner than {EAGER}: {', '.join(lost) or 'no method of torch.optim, at no level'}")


if __name__ == "__main__":
    main()
