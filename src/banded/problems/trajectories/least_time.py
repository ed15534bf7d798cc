"""A double integrator in least time: p' = v, v' = u with |u| <= 1, from rest to rest a distance d away.

Full thrust until half of the way, full brakes from there: T = 2 √d. The trapezoidal rule on N intervals finds, for
d = 1, 2 / √(1 - 2/N²) where N is even, 2 / √(1 - 1/N²) where it is odd.
"""

from __future__ import annotations

from functools import partial
from math import inf, sqrt
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from banded.control import ControlProblem
from banded.problems.trajectories.scenery import setting, slider

if TYPE_CHECKING:
    from banded.canvas import Axes


def least_time(distance: float = 1.0) -> ControlProblem:
    """The move by `distance`, dimensionless, > 0; the guess is the way in the time 1 at rest."""
    if not 0 < distance < inf:
        raise ValueError(f"distance: expected a positive number, got {distance}")
    return ControlProblem(
        dynamics=lambda x, u: torch.stack([x[1], u[0]]),
        states=("position", "velocity"),
        controls=("thrust",),
        final_cost=lambda x, t: t,
        initial_state=[0, 0],
        final_state=[distance, 0],
        control_bounds=(-1, 1),
        duration=(0, inf),
        guess={"duration": 1.0},
        title="double integrator in least time",
        optimum=2 * sqrt(distance),
        scene=partial(_scene, distance),
    )


def _scene(distance: float, axes: Axes, t: float, x: Tensor, u: Tensor) -> None:
    setting(axes, (-0.3, 1.3), (-0.3, 0.5))
    slider(axes, float(x[0]) / distance, float(u[0]) / 5, 1)
    axes.set(xlabel="part of the way")
