"""The curve down which a bead slides in least time (Bernoulli 1696); data as in dymos.

x' = v sin θ, y' = -v cos θ, v' = g cos θ with g = 9.80665 m/s², from rest at (0, 10) m to (10, 5) m, where θ is the
direction of motion from straight down. The minimum is a cycloid, of radius R = 2.586 m over an angle φ with
(φ - sin φ) / (1 - cos φ) = 2, so that T = φ √(R/g).
"""

from __future__ import annotations

from math import cos, pi, sin
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from banded.control import ControlProblem
from banded.problems.trajectories.scenery import push, setting

if TYPE_CHECKING:
    from banded.canvas import Axes

GRAVITY = 9.80665  # m/s²
START, END = (0.0, 10.0), (10.0, 5.0)  # m
RADIUS, ANGLE = 2.5861005, 3.5083688  # m, rad: of the cycloid
GUESS = {
    "x": [[*START, 0.0], [*END, 9.9]],
    "u": [[5 * pi / 180], [100.5 * pi / 180]],
    "duration": 2.0,
}


def brachistochrone() -> ControlProblem:
    """The bead; states x, y m and v m/s, control θ rad, cost T in s."""
    return ControlProblem(
        dynamics=_dynamics,
        states=("x", "y", "speed"),
        controls=("direction",),
        final_cost=lambda x, t: t,
        initial_state=[*START, 0],
        final_state=[*END, torch.nan],
        control_bounds=(0.01 * pi / 180, 179.9 * pi / 180),
        duration=(0.5, 10.0),
        guess=GUESS,
        title="bead that slides down in least time",
        optimum=1.8016031225,
        scene=_scene,
    )


def _dynamics(x: Tensor, u: Tensor) -> Tensor:
    speed, direction = x[2], u[0]
    return torch.stack([speed * direction.sin(), -speed * direction.cos(), GRAVITY * direction.cos()])


def _scene(axes: Axes, t: float, x: Tensor, u: Tensor) -> None:
    setting(axes, (-1, 12.5), (4, 11))
    turns = [ANGLE * i / 100 for i in range(101)]
    wire = [(RADIUS * (a - sin(a)), START[1] - RADIUS * (1 - cos(a))) for a in turns]
    axes.plot(*zip(*wire, strict=True), color="0.7", linewidth=2, zorder=0)
    across, up, speed = x.tolist()
    axes.plot(across, up, "o", color="C3", markersize=8)
    direction = float(u[0])
    push(axes, (across, up), (speed / 5 * sin(direction), -speed / 5 * cos(direction)))
