"""A car that is parked: the kinematic bicycle, as in Tassa, Mansard & Todorov (2014, ICRA), with costs of our own.

Rear axle at (x, y) m, heading θ rad, speed v m/s, wheelbase d = 2 m; steering angle w rad, acceleration a m/s²:

    x' = v cos θ,   y' = v sin θ,   θ' = (v/d) tan w,   v' = a,

from rest at (1, 1) facing down to rest at the origin facing right (θ from 3π/2 to 2π), in 8 s, with |w| <= 0.5,
|a| <= 2 and ∫ w² + 0.1 a² dt least. The car backs up and turns round; the wheels reach their bound.
"""

from __future__ import annotations

from math import cos, pi, sin
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from banded.control import ControlProblem
from banded.problems.trajectories.scenery import body, box, setting

if TYPE_CHECKING:
    from banded.canvas import Axes

WHEELBASE, DURATION = 2.0, 8.0  # m, s


def parking() -> ControlProblem:
    """The car."""
    return ControlProblem(
        dynamics=_dynamics,
        states=("x", "y", "heading", "speed"),
        controls=("steering", "acceleration"),
        running_cost=lambda x, u: u[0].square() + 0.1 * u[1].square(),
        initial_state=[1, 1, 3 * pi / 2, 0],
        final_state=[0, 0, 2 * pi, 0],
        control_bounds=([-0.5, -2], [0.5, 2]),
        duration=DURATION,
        title="car parked with little steering",
        optimum=1.99830,
        scene=_scene,
    )


def _dynamics(x: Tensor, u: Tensor) -> Tensor:
    _, _, heading, speed = x
    return torch.stack([speed * heading.cos(), speed * heading.sin(), speed / WHEELBASE * u[0].tan(), u[1]])


def _scene(axes: Axes, t: float, x: Tensor, u: Tensor) -> None:
    across, up, heading, _ = x.tolist()
    setting(axes, (-3, 6), (-4, 3.5))
    body(axes, (1, 0), 0, box(3, 1.4), facecolor="none", linestyle=":")
    c, s = cos(heading), sin(heading)
    body(axes, (across + c, up + s), heading, box(3, 1.4), alpha=0.5)
    for along, turned in ((0.0, 0.0), (WHEELBASE, float(u[0]))):
        for aside in (-0.55, 0.55):
            at = across + c * along - s * aside, up + s * along + c * aside
            body(axes, at, heading + turned, box(0.6, 0.2), facecolor="black")
