"""A quadrotor in a plane, flown from rest to rest with the least thrust.

Mass m = 0.5 kg, inertia J = 0.004 kg m², arms l = 0.2 m, g = 9.81 m/s²; thrusts u1 on the right, u2 on the left, in N:

    x'' = -(u1 + u2) sin θ / m,   y'' = (u1 + u2) cos θ / m - g,   θ'' = l (u1 - u2) / J,

from the origin to (2, 1) m in 1.5 s, with 0 <= u <= 6 and ∫ u1² + u2² dt least. No bound holds anywhere.
"""

from __future__ import annotations

from math import cos, sin
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from banded.control import ControlProblem
from banded.problems.trajectories.scenery import body, box, push, setting

if TYPE_CHECKING:
    from banded.canvas import Axes

MASS, INERTIA, ARM, GRAVITY = 0.5, 0.004, 0.2, 9.81  # kg, kg m², m, m/s²


def quadrotor() -> ControlProblem:
    """The flight; cost in N² s. The guess hovers along the line."""
    return ControlProblem(
        dynamics=_dynamics,
        states=("x", "y", "tilt", "x_speed", "y_speed", "rate"),
        controls=("right", "left"),
        running_cost=lambda x, u: u.square().sum(),
        initial_state=0,
        final_state=[2, 1, 0, 0, 0, 0],
        control_bounds=(0, 6),
        duration=1.5,
        guess={"u": [MASS * GRAVITY / 2, MASS * GRAVITY / 2]},
        title="quadrotor flown with the least thrust",
        optimum=21.08218,
        scene=_scene,
    )


def _dynamics(x: Tensor, u: Tensor) -> Tensor:
    _, _, tilt, across, up, rate = x
    lift = (u[0] + u[1]) / MASS
    return torch.stack(
        [across, up, rate, -lift * tilt.sin(), lift * tilt.cos() - GRAVITY, ARM * (u[0] - u[1]) / INERTIA]
    )


def _scene(axes: Axes, t: float, x: Tensor, u: Tensor) -> None:
    across, up, tilt = x.tolist()[:3]
    setting(axes, (-0.5, 2.5), (-0.5, 1.8))
    axes.plot([0, 2], [0, 1], "+", color="0.5", markersize=10)
    body(axes, (across, up), tilt, box(2 * ARM, 0.05))
    for side, thrust in zip((ARM, -ARM), u.tolist(), strict=True):
        at = across + side * cos(tilt), up + side * sin(tilt)
        push(axes, at, (-thrust / 8 * sin(tilt), thrust / 8 * cos(tilt)))
