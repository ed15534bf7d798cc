"""Kelly's cart-pole (2017, SIAM Review 59:849-904); data as in dymos, which takes them from there.

A cart of m1 = 1 kg on a rail carries a pole of l = 0.5 m with a bob of m2 = 0.3 kg, g = 9.81 m/s². A force u in N
on the cart brings the bob from hanging to upright, and the cart 1 m to the right, in 2 s, from rest to rest:

    (m1 + m2 sin² θ) q'' = u + m2 l θ'² sin θ + m2 g sin θ cos θ,
    l (m1 + m2 sin² θ) θ'' = -u cos θ - m2 l θ'² sin θ cos θ - (m1 + m2) g sin θ,

with ∫ u² dt least. |u| <= 20 N and |q| <= 2 m hold nowhere. Several minima exist.
"""

from __future__ import annotations

from math import cos, inf, pi, sin
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from banded.control import ControlProblem
from banded.problems.trajectories.scenery import GROUND, body, box, push, rods, setting

if TYPE_CHECKING:
    from banded.canvas import Axes

CART, BOB, LENGTH, GRAVITY = 1.0, 0.3, 0.5, 9.81  # kg, kg, m, m/s²
DURATION = 2.0  # s
MINIMA = {"A": 58.807667, "B": 57.944781}  # N² s


def swingup(basin: str = "A") -> ControlProblem:
    """The swing-up; states q m, θ rad from hanging, and their rates; cost in N² s.

    Args:
        basin: "A", whose guess is the line between the ends; or "B", whose guess swings to the other side first and
            leads to the best minimum that is known. `optimum` is that of the basin.
    """
    if basin not in MINIMA:
        raise ValueError(f"basin: expected 'A' or 'B', got {basin!r}")
    return ControlProblem(
        dynamics=_dynamics,
        states=("position", "angle", "velocity", "rate"),
        controls=("force",),
        running_cost=lambda x, u: u[0].square(),
        initial_state=0,
        final_state=[1, pi, 0, 0],
        state_bounds=([-2, -inf, -inf, -inf], [2, inf, inf, inf]),
        control_bounds=(-20, 20),
        duration=DURATION,
        guess=None if basin == "A" else {"x": _other_side},
        title="cart-pole swing-up with the least force",
        optimum=MINIMA[basin],
        scene=_scene,
    )


def _dynamics(x: Tensor, u: Tensor) -> Tensor:
    _, angle, velocity, rate = x
    s, c = angle.sin(), angle.cos()
    inertia = CART + BOB * s**2
    swing = BOB * LENGTH * rate**2 * s
    push = u[0] + swing + BOB * GRAVITY * s * c
    turn = u[0] * c + swing * c + (CART + BOB) * GRAVITY * s
    return torch.stack([velocity, rate, push / inertia, -turn / (LENGTH * inertia)])


def _other_side(t: Tensor) -> Tensor:
    s = t / DURATION
    wave = (pi * s).sin()
    return torch.stack([s - 0.1 * wave, pi * s - 2 * wave, 0 * s, 0 * s])


def _scene(axes: Axes, t: float, x: Tensor, u: Tensor) -> None:
    position, angle, *_ = x.tolist()
    setting(axes, (-0.7, 1.7), (-0.75, 0.75))
    axes.axhline(0, **GROUND)
    body(axes, (position, 0), 0, box(0.3, 0.16), facecolor="0.3")
    rods(axes, [(position, 0), (position + LENGTH * sin(angle), -LENGTH * cos(angle))])
    push(axes, (position, 0), (float(u[0]) / 20, 0))
