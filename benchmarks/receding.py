"""The cart-pole with which the idea began: its first solve, and control with a receding horizon.

A section of newton.py, against the author's way (replicated.py). Penalties are L = f + Σ c (λ + ρ c).
"""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from math import inf
from typing import Any

import numpy as np
import torch
from descent import COMPILED, EAGER, NODES, PROBLEM, REPLICATED, newton_on_the_band, replicated
from replicated import Replicated
from rich.console import Console
from scipy.linalg import solve_banded
from torch import Tensor

import banded

LEVEL = 1e-6  # error
CONTROL, PENALTY, STEPS = 100, 100.0, 4  # receding horizon: steps, ρ, Newton steps in each
console = Console(width=180, highlight=False)
Control = tuple[Tensor, Tensor, float]  # z and c at the end, seconds for plans


class Horizon:
    """L = f + Σ c (λ + ρ c) of the cart-pole from another state: that of `first` `(1, 5)`."""

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


def on_a_penalty(start: Tensor, multipliers: Tensor, compile: bool) -> partial[Control]:
    """Control with one plan of L, and λ updated by hand."""
    horizon = Horizon(multipliers)
    plan = banded.plan(horizon, start, bandwidth=PROBLEM.bandwidth, compile=compile)

    def control(start: Any) -> Control:
        z = start
        horizon.multipliers.copy_(multipliers)
        for _ in range(CONTROL):
            horizon.first.copy_(z[:1])
            horizon.multipliers.copy_(ahead(horizon.multipliers))
            z = banded.minimize(plan, ahead(z), max_iterations=STEPS, tolerance=0, progress=False).x
            horizon.multipliers += 2 * PENALTY * (c := horizon.residuals(z))
        return z, c, 0.0

    return partial(control, start)


def on_constraints(start: Tensor, compile: bool) -> Control:
    """Control by the interior-point method, to its own end, but for so many steps; it plans anew each time."""
    horizon, z, planning = Horizon(start.new_zeros(())), start, 0.0
    options: dict[str, Any] = {"bandwidth": PROBLEM.bandwidth, "compile": compile, "max_iterations": STEPS}
    for _ in range(CONTROL):
        horizon.first.copy_(z[:1])
        found = banded.minimize(PROBLEM.objective, ahead(z), equality=horizon.residuals, progress=False, **options)
        z, planning = found.x, planning + found.profile["plan"]
    return z, horizon.residuals(z), planning


def on_copies(start: Tensor, multipliers: Tensor) -> Control:
    """Control in the author's way."""
    old = Replicated(NODES)
    half, old.penalty = old.copies // 2, PENALTY
    old.multipliers += multipliers
    z = torch.cat([start.new_zeros(1, 5), start]).repeat(old.copies, 1, 1)
    for _ in range(CONTROL):
        z, old.multipliers = ahead(z), ahead(old.multipliers)
        for _ in range(STEPS):
            total, _, _, gradient, band = old.derivatives(z)
            step = torch.from_numpy(solve_banded((half, half), band, gradient)).reshape(-1, 5)
            z = old.backtrack(z.detach(), step, float(total.detach()))
        with torch.no_grad():
            old.multipliers += 2 * PENALTY * (c := old.loss(z)[2])
    return z[0, 1:], c[0], 0.0


def ahead(z: Tensor) -> Tensor:
    """By one node, the last one twice."""
    return torch.cat([z[..., 1:, :], z[..., -1:, :]], -2)


def first_solve(name: str, optimum: float) -> list[float]:
    """Seconds to the level: plan included, and without."""
    if name == REPLICATED:
        return [(replicated(optimum).reached(LEVEL) or (inf,))[0]] * 2
    result = PROBLEM.solve(progress=False, compile=name == COMPILED)
    run = newton_on_the_band(name, optimum, result)
    seconds = result.seconds - run.rows[-1][0] + (run.reached(LEVEL) or (inf,))[0]
    return [seconds, seconds - result.profile["plan"]]


def cartpole(options: Namespace) -> None:
    """Where the idea began: the first solve, and control."""
    solution = PROBLEM.solve(progress=False, tolerance=1e-10)
    assert solution.multipliers is not None
    optimum, z, multipliers = solution.value, solution.x, solution.multipliers.equality
    controls: dict[str, Callable[[], Control]] = {REPLICATED: partial(on_copies, z, multipliers)}
    for name in (EAGER, COMPILED):
        controls[f"{name}, constraints"] = partial(on_constraints, z, name == COMPILED)
        controls[f"{name}, penalty"] = on_a_penalty(z, multipliers, name == COMPILED)
    times: dict[str, list[list[float]]] = {name: [] for name in (REPLICATED, EAGER, COMPILED)}
    for name in [*times] * (options.repeat + 1):  # of which the first turn compiles
        times[name].append(first_solve(name, optimum))
    console.print(f"cart-pole, {NODES} nodes, from zero to max(|c|, gap) <= {LEVEL:.0e}", style="bold")
    best = {name: np.min(rows, axis=0) for name, rows in times.items()}
    for name, (whole, given) in best.items():
        speed = f"{best[REPLICATED][0] / whole:.2f} and {best[REPLICATED][0] / given:.2f} times as fast"
        console.print(f"  {name:20}{whole * 1e3:8.1f} ms, with a plan given {given * 1e3:8.1f} ms, {speed}")
    console.print(
        f"control: ahead by a node, at most {STEPS} Newton steps; penalties ρ = {PENALTY:g}, λ updated", style="bold"
    )
    fastest, planned, ends = dict.fromkeys(controls, inf), dict.fromkeys(controls, 0.0), {}
    for name in [*controls] * options.repeat:
        begun = time.perf_counter()
        end, c, planning = controls[name]()
        ends[name] = end, c
        each = (time.perf_counter() - begun) / CONTROL, planning / CONTROL
        fastest[name], planned[name] = min((fastest[name], planned[name]), each)
    for name, (end, c) in ends.items():
        rate = f"{1 / fastest[name]:7.1f} Hz, {fastest[REPLICATED] / fastest[name]:5.2f} times as fast"
        if planned[name]:
            rate += f", without plans {1 / (fastest[name] - planned[name]):.1f} Hz"
        console.print(f"  {name:30}{rate}; at the end f = {PROBLEM.objective(end):.6f}, max |c| = {c.abs().max():.1e}")
