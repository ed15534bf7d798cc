"""A chain of length 4 between two points a distance of 1 apart, as low as it can; COPS 3 (Dolan, Moré & Munson 2004).

Along t from 0 to 1: height x1' = u, energy x2' = x1 √(1 + u²), length x3' = √(1 + u²), from (1, 0, 0) to (3, free, 4),
with x2(1) least. The minimum is a catenary. By Hermite and Simpson's scheme it needs controls that are linear between
the nodes, `HermiteSimpson(controls="linear")`: free ones run away in the last interval. `hanging` is the same by the
trapezoidal rule, written as a sum.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from banded.control import ControlProblem
from banded.problems.trajectories.scenery import setting

if TYPE_CHECKING:
    from banded.canvas import Axes

LENGTH, LEFT, RIGHT = 4.0, 1.0, 3.0


def hanging_chain() -> ControlProblem:
    """The chain; dimensionless, t is the distance from the left end."""
    return ControlProblem(
        dynamics=_dynamics,
        states=("height", "energy", "length"),
        controls=("slope",),
        final_cost=lambda x: x[1],
        initial_state=[LEFT, 0, 0],
        final_state=[RIGHT, torch.nan, LENGTH],
        duration=1.0,
        guess={"x": _guess, "u": lambda t: _slope(t)[None]},
        title="hanging chain",
        optimum=5.0684801110,
        scene=_scene,
    )


def _dynamics(x: Tensor, u: Tensor) -> Tensor:
    stretch = (1 + u[0] ** 2).sqrt()
    return torch.stack([u[0], x[0] * stretch, stretch])


def _slope(t: Tensor) -> Tensor:
    return 8 * (t - 0.25)


def _guess(t: Tensor) -> Tensor:
    height = 8 * t * (t / 2 - 0.25) + 1
    return torch.stack([height, _slope(t) * height, _slope(t)])


def _scene(axes: Axes, t: float, x: Tensor, u: Tensor) -> None:
    """Both ends, and a link with its slope."""
    setting(axes, (-0.5, 1.5), (-0.2, 3.2))
    axes.plot([0, 1], [LEFT, RIGHT], "s", color="0.3")
    height, slope = float(x[0]), float(u[0])
    half = 0.15 / (1 + slope**2) ** 0.5
    axes.plot([t - half, t + half], [height - slope * half, height + slope * half], color="C0", linewidth=3)
    axes.plot(t, height, "o", color="C3", markersize=6)
