"""A double pendulum, swung up by a torque at its elbow; data of the demo in OptimTraj (Kelly 2017).

Point masses m1 = m2 = 1 kg on rods l1 = l2 = 0.5 m, g = 9.81 m/s²; angles q1, q2 rad from hanging, torque u N m at the
elbow; with e = q1 - q2,

    (m1 + m2) l1² q1'' + m2 l1 l2 cos e q2'' = -u - m2 l1 l2 sin e q2'² - (m1 + m2) g l1 sin q1,
    m2 l1 l2 cos e q1'' + m2 l2² q2'' = u + m2 l1 l2 sin e q1'² - m2 g l2 sin q2,

from hanging to upright, at rest, in 2 s, with |u| <= 20 and ∫ u² dt least; |q| <= 2π holds nowhere. There are other
minima, 35.9262 and 63.3715; solve on a coarse grid first, and from there on finer ones.
"""

from __future__ import annotations

from math import cos, inf, pi, sin
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from banded.control import ControlProblem
from banded.problems.trajectories.scenery import rods, setting

if TYPE_CHECKING:
    from banded.canvas import Axes

M1, M2, L1, L2, GRAVITY = 1.0, 1.0, 0.5, 0.5, 9.81  # kg, kg, m, m, m/s²


def acrobot() -> ControlProblem:
    """The swing-up; cost in N² m² s."""
    return ControlProblem(
        dynamics=_dynamics,
        states=("shoulder", "elbow", "shoulder_rate", "elbow_rate"),
        controls=("torque",),
        running_cost=lambda x, u: u[0].square(),
        initial_state=0,
        final_state=[pi, pi, 0, 0],
        state_bounds=([-2 * pi, -2 * pi, -inf, -inf], [2 * pi, 2 * pi, inf, inf]),
        control_bounds=(-20, 20),
        duration=2.0,
        guess={"x": [[0, 0, 0, 0], [-pi / 2, 0, 0, 0], [0, pi / 2, 0, 0], [pi / 2, pi, 0, 0], [pi, pi, 0, 0]]},
        title="acrobot swing-up with the least torque",
        optimum=34.9188,
        scene=_scene,
    )


def _dynamics(x: Tensor, u: Tensor) -> Tensor:
    q1, q2, w1, w2 = x
    s, c = (q1 - q2).sin(), (q1 - q2).cos()
    a, b, d = (M1 + M2) * L1**2, M2 * L1 * L2 * c, M2 * L2**2
    first = -u[0] - M2 * L1 * L2 * s * w2**2 - (M1 + M2) * GRAVITY * L1 * q1.sin()
    second = u[0] + M2 * L1 * L2 * s * w1**2 - M2 * GRAVITY * L2 * q2.sin()
    determinant = a * d - b**2
    return torch.stack([w1, w2, (d * first - b * second) / determinant, (a * second - b * first) / determinant])


def _scene(axes: Axes, t: float, x: Tensor, u: Tensor) -> None:
    q1, q2, *_ = x.tolist()
    setting(axes, (-1.1, 1.1), (-1.1, 1.1))
    elbow = L1 * sin(q1), -L1 * cos(q1)
    rods(axes, [(0, 0), elbow, (elbow[0] + L2 * sin(q2), elbow[1] - L2 * cos(q2))])
    axes.plot(0, 0, "^", color="0.3", markersize=8)
