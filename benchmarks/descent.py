"""Newton on the band against the author's replicated way, gradient descent, Adam and L-BFGS: time to equal accuracy.

The cart-pole on 100 nodes (495 unknowns, 396 constraints), from zero, in float64, on one thread:

    OMP_NUM_THREADS=1 python benchmarks/descent.py [--budget 60] [--repeat 5] [--plot descent.png] [--profile]

Error is the larger of max |c| and |f - f*| / f*. Printed are the seconds and the
evaluations until it is first within 1e-1, 1e-2, 1e-3 and 1e-6, and drawn is the
error against time. Every method minimises f + Σ c (λ + ρ c), in rounds: λ <- λ + 2ρc,
and ρ tenfold from 0.1. Reading f and c for the record is not counted as time.

The Newton methods run `--repeat` times in turn, of which the fastest counts. Those of
torch.optim run once, until 1e-6 or for `--budget` seconds; they may hold ρ at a cap,
and need not grow it after a round that has cut the violation tenfold, as `minimize`
does. A round ends when max |∇L| <= gate · shrink^round. Of these settings the best
was kept, by hand, from runs of 10 to 25 s:

    all               gate 0.01 to 10, shrink 0.1 to 0.5, ρ at most 10, 30, 100, 1000, 1e4
    gradient descent  rate 1, 1.5, 1.9, 2.2 (diverges) / curvature of L, which grows with ρ
    with momentum     the same, and 0.9, 0.99 (plain and Nesterov), 0.995, 0.997, 0.999, 0.9995
    Adam              rate 0.003 to 0.1, times 0.3 to 1 per round; β1 0.9, 0.99, 0.995; β2 0.99,
                      0.999, 0.9999; at most 1000 to 20000 steps per round
    L-BFGS            history 10, 20, 30, 40, 100; at most 200, 1000, 2000, 3000 steps per round
"""

from __future__ import annotations

import argparse
import functools
import importlib
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import pi
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from scipy.linalg import solve_banded
from torch import Tensor

import banded
from banded.optimize.direction import NewtonDirection
from banded.optimize.multipliers import AugmentedLagrangian
from banded.problems import cartpole

NODES = 100
PROBLEM = cartpole(NODES)
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
        if max(violation, gap) <= LEVELS[-1] or now - self.started > self.budget:
            raise Done
        self.started += time.perf_counter() - now

    def reached(self, level: float) -> tuple[float, int] | None:
        """Seconds and evaluations to an error within `level`, or None."""
        return next((row[:2] for row in self.rows if max(row[2:]) <= level), None)

    def tightest(self) -> float | None:
        """The last of the levels that it reached."""
        return next((level for level in reversed(LEVELS) if self.reached(level)), None)


def newton_on_the_band(name: str, optimum: float, **options: Any) -> Run:
    result = PROBLEM.solve(progress=False, **options)
    rows = [(r.seconds, r.evaluations, float(r.violation or 0), abs(r.value / optimum - 1)) for r in result.history]
    return Run(name, optimum, rows=rows)


class Replicated:
    """The cart-pole in `copies` equal copies, so that one backward pass gives as many Hessian products.

    After P. Zucker, "PyTorch trajectory optimization" (2018): LU of the band by
    SciPy, halving until L falls, a round ends where the Newton decrement is below
    `cut` of the cost, and ρ grows tenfold after each.
    """

    def __init__(self, copies: int = 15, cut: float = 1e-7) -> None:
        self.copies, self.cut, self.evaluations = copies, cut, 0
        self.weight = torch.arange(NODES, dtype=torch.float64) / NODES
        self.multipliers = torch.zeros(copies, NODES - 1, 4, dtype=torch.float64)
        self.penalty = 0.1
        self.probes = torch.zeros(copies, 5 * (NODES - 1), dtype=torch.float64)
        for i in range(copies):
            self.probes[i, i::copies] = 1

    def loss(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """L, f and c of all copies together; node 0 of z `(copies, N, 5)` stays at zero."""
        self.evaluations += 1
        force, state = z[:, 1:, 0], z[:, :, 1:]
        middle = (state[:, 1:] + state[:, :-1]) / 2
        rates = torch.zeros(self.copies, NODES - 1, 4, dtype=z.dtype)
        rates[..., 0], rates[..., 1], rates[..., 2] = middle[..., 1], force, middle[..., 3]
        rates[..., 3] = force * middle[..., 2].cos() - middle[..., 2].sin()
        c = (state[:, 1:] - state[:, :-1]) * (NODES / 10) - rates
        f = 0.1 * z.square().sum() + ((state[..., 2] - pi).square() * self.weight).sum() + 0.5 * force.square().sum()
        return f + self.penalty * c.square().sum() + (self.multipliers * c).sum(), f, c

    def derivatives(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor, np.ndarray, np.ndarray]:
        """L, f, c, one copy's gradient, and its Hessian `(copies, n)` as `solve_banded` takes it."""
        z = z.requires_grad_()
        total, f, c = self.loss(z)
        (gradient,) = torch.autograd.grad(total, z, create_graph=True)
        flat = gradient[:, 1:].reshape(self.copies, -1)
        (products,) = torch.autograd.grad((flat * self.probes).sum(), z)
        band = products[:, 1:].reshape(self.copies, -1).numpy()
        for i in range(self.copies):
            band[:, i :: self.copies] = np.roll(band[:, i :: self.copies], self.copies // 2 - i, axis=0)
        return total, f, c, flat.detach().numpy()[0], band

    def solve(self, run: Run, rounds: int = 10) -> float:
        """f at the end, which comes when `run` says so or after `rounds`."""
        z, half = torch.zeros(self.copies, NODES, 5, dtype=torch.float64), self.copies // 2
        for _ in range(rounds):
            for _ in range(60):
                total, f, c, gradient, band = self.derivatives(z)
                run.add(self.evaluations, f / self.copies, c)
                step = solve_banded((half, half), band, gradient)
                z = self.backtrack(z.detach(), torch.from_numpy(step).reshape(-1, 5), float(total.detach()))
                if abs(step @ gradient) < self.cut * float(f.detach()):
                    break
            with torch.no_grad():
                _, f, c = self.loss(z)
                self.multipliers += 2 * self.penalty * c
            self.penalty *= 10
        return float(f / self.copies)

    def backtrack(self, z: Tensor, step: Tensor, total: float) -> Tensor:
        length, there = 1.0, z.clone()
        with torch.no_grad():
            while length > 1e-6:
                there[:, 1:] = z[:, 1:] - length * step
                if float(self.loss(there)[0]) < total:
                    break
                length /= 2
        return there


def replicated(optimum: float) -> Run:
    run = Run(REPLICATED, optimum)
    try:
        Replicated().solve(run)
    except Done:
        pass
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


DESCENTS = (
    Descent(
        "gradient descent",
        lambda z, rho, number, tolerance: torch.optim.SGD([z], lr=1.9 / curvature(rho)),
        *(3, 0.5, 10, 20_000),
    ),
    Descent(
        "with momentum",
        lambda z, rho, number, tolerance: torch.optim.SGD([z], lr=1 / curvature(rho), momentum=0.999, nesterov=True),
        *(1, 0.3, 100, 200_000),
    ),
    Descent(
        "Adam",
        lambda z, rho, number, tolerance: torch.optim.Adam([z], lr=0.02 * 0.6**number, betas=(0.99, 0.999)),
        *(3, 0.3, 100, 5_000),
    ),
    Descent(
        "L-BFGS",
        lambda z, rho, number, tolerance: torch.optim.LBFGS(
            [z],
            max_iter=2000,
            max_eval=4000,
            history_size=40,
            tolerance_grad=tolerance,
            tolerance_change=1e-11,
            line_search_fn="strong_wolfe",
        ),
        *(3, 0.3, 1000, 1),
    ),
)
