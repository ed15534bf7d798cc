"""Problems that take milliseconds."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

import banded

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SCHEMES = ["euler", "trapezoidal", "hermite-simpson", "midpoint", "rk4"]


def pushed(x: Tensor, u: Tensor) -> Tensor:
    return torch.stack([x[1], u[0]])


def effort(x: Tensor, u: Tensor) -> Tensor:
    return u[0] ** 2


def dot(axes: Axes, t: float, x: Tensor, u: Tensor) -> None:
    axes.plot([-0.2, 1.2], [0, 0], color="gray")
    axes.plot(float(x[0]), 0.1, "o")


def block(**changed: Any) -> banded.ControlProblem:
    """A block from 0 to 1, at rest at both: u = 6 - 12 t, x = 3 t² - 2 t³, at the cost of 12."""
    usual: dict[str, Any] = {
        "dynamics": pushed,
        "states": ("position", "speed"),
        "controls": ("force",),
        "running_cost": effort,
        "initial_state": [0, 0],
        "final_state": [1, 0],
        "title": "block move",
    }
    return banded.ControlProblem(**{**usual, **changed})


def hasty(**changed: Any) -> banded.ControlProblem:
    """The same in the least time, 2, with the force up to 1: which is 1 and then -1."""
    usual: dict[str, Any] = {
        "running_cost": None,
        "final_cost": lambda x, t: t,
        "control_bounds": (-1, 1),
        "duration": (0.5, 9.0),
    }
    return block(**{**usual, **changed})


def pendulum(**changed: Any) -> banded.ControlProblem:
    """A swing-up with a bound that is active."""
    usual: dict[str, Any] = {
        "dynamics": lambda x, u: torch.stack([x[1], u[0] - x[0].sin()]),
        "states": ("angle", "turn"),
        "final_state": [math.pi, 0],
        "control_bounds": (-1, 1),
        "duration": 5.0,
    }
    return block(**{**usual, **changed})


@cache
def moved(scheme: str = "trapezoidal") -> banded.Solution:
    """The block, with a bound that is active at both ends."""
    return block(control_bounds=(-5, 5), scene=dot).solve(21, scheme)
