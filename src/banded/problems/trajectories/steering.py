"""A particle that is steered to a height and a speed in least time; COPS 3 (Dolan, Moré & Munson 2004).

Constant thrust in a direction u: x'' = 100 cos u, y'' = 100 sin u with |u| <= π/2, from rest at the origin to y = 5,
x' = 45 and y' = 0, dimensionless. The tangent of u is linear in time (Bryson & Ho 1975, Applied Optimal
Control, ch. 2).
"""

from __future__ import annotations

from math import cos, inf, pi, sin
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from banded.control import ControlProblem
from banded.problems.trajectories.scenery import push, setting

if TYPE_CHECKING:
    from banded.canvas import Axes

THRUST, HEIGHT, SPEED = 100.0, 5.0, 45.0


def steering() -> ControlProblem:
    """The particle; control u rad, cost T."""
    return ControlProblem(
        dynamics=_dynamics,
        states=("x", "y", "x_speed", "y_speed"),
        controls=("direction",),
        final_cost=lambda x, t: t,
        initial_state=0,
        final_state=[torch.nan, HEIGHT, SPEED, 0],
        control_bounds=(-pi / 2, pi / 2),
        duration=(0, inf),
        guess={"x": [[0.0, 0, 0, 0], [0, HEIGHT, SPEED, 0]], "u": [0.0], "duration": 1.0},
        title="particle steered in least time",
        optimum=0.5545708783,
        scene=_scene,
    )


def _dynamics(x: Tensor, u: Tensor) -> Tensor:
    return torch.stack([x[2], x[3], THRUST * u[0].cos(), THRUST * u[0].sin()])


def _scene(axes: Axes, t: float, x: Tensor, u: Tensor) -> None:
    setting(axes, (-1, 15), (-1, 7))
    axes.axhline(HEIGHT, color="0.6", linewidth=1, linestyle=":")
    here, direction = (float(x[0]), float(x[1])), float(u[0])
    axes.plot(*here, "o", color="C3", markersize=8)
    push(axes, here, (2 * cos(direction), 2 * sin(direction)))
