"""Goddard's rocket (1919): the greatest height from a given amount of fuel; COPS 3 (Dolan, Moré & Munson 2004).

Dimensionless, with gravity, mass and radius of the Earth 1 at the start, height h from its centre, speed v, mass m:

    h' = v,   v' = (u - D) / m - 1 / h²,   m' = -u / c,   D = 310 v² exp(-500 (h - 1)),   c = 1/2,

with 0 <= u <= 3.5, from (1, 0, 1) to a mass of 0.6 at any time T. Full thrust, a singular arc near u = 2.14, no thrust.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from banded.control import ControlProblem
from banded.problems.trajectories.scenery import body, setting

if TYPE_CHECKING:
    from banded.canvas import Axes

DRAG, DECAY, EXHAUST = 310.0, 500.0, 0.5
FULL, DRY = 3.5, 0.6


def goddard() -> ControlProblem:
    """The rocket; the cost is -h(T)."""
    return ControlProblem(
        dynamics=_dynamics,
        states=("height", "speed", "mass"),
        controls=("thrust",),
        final_cost=lambda x: -x[0],
        initial_state=[1, 0, 1],
        final_state=[torch.nan, torch.nan, DRY],
        state_bounds=([1, 0, DRY], [inf, inf, 1]),
        control_bounds=(0, FULL),
        duration=(0, inf),
        guess={"x": _guess, "u": [FULL / 2], "duration": 1.0},
        title="Goddard's rocket: greatest height",
        optimum=-1.01283675,
        scene=_scene,
    )


def _dynamics(x: Tensor, u: Tensor) -> Tensor:
    height, speed, mass = x
    drag = DRAG * speed**2 * (-DECAY * (height - 1)).exp()
    return torch.stack([speed, (u[0] - drag) / mass - 1 / height**2, -u[0] / EXHAUST])


def _guess(t: Tensor) -> Tensor:
    return torch.stack([1 + 0 * t, t * (1 - t), 1 - 0.4 * t])


def _scene(axes: Axes, t: float, x: Tensor, u: Tensor) -> None:
    """Heights in thousandths; filled is what is left of the fuel, the flame as long as the thrust."""
    height, _, mass = x.tolist()
    at, size = 1000 * (height - 1), 1.2
    setting(axes, (-5, 5), (-3, 15))
    axes.axhspan(-3, 0, color="0.8", zorder=0)
    for part, color in ((1.0, "white"), ((mass - DRY) / (1 - DRY), "C0")):
        low = at + 0.4
        outline = [(-size / 3, low), (size / 3, low), (size / 3, low + part * size), (-size / 3, low + part * size)]
        body(axes, (0, 0), 0, outline, facecolor=color)
    body(axes, (0, at + 0.4 + size), 0, [(-size / 3, 0), (size / 3, 0), (0, size / 2)], facecolor="0.3")
    flame = 2 * float(u[0]) / FULL
    body(axes, (0, at + 0.4), 0, [(-0.25, 0), (0.25, 0), (0, -flame)], facecolor="C1", edgecolor="none")
    axes.set(ylabel="height, thousandths of the radius", xticks=[])
