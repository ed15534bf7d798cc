"""Problems that take milliseconds."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

import banded
from banded import ControlProblem, PhasedSolution, Phases

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


def wind(x: Tensor, u: Tensor, t: Tensor) -> Tensor:
    return torch.stack([x[1], u[0] + (3 * t).sin()])


def drift(x: Tensor, u: Tensor, t: Tensor) -> Tensor:
    return u[0] ** 2 + t * x[0] ** 2


def halves(**changed: Any) -> Phases:
    """A block in a wind that changes, split at 0.4."""
    usual: dict[str, Any] = {"dynamics": wind, "running_cost": drift, "control_bounds": (-5, 5), **changed}
    first = block(**{**usual, "duration": 0.4, "final_state": None, "title": "out"})
    return Phases([first, block(**{**usual, "duration": 0.6, "initial_state": None, "title": "in"})], title="split")


def staged(**changed: Any) -> Phases:
    """A rocket of two stages that is to rise; the first one is dropped, 0.6 of the mass."""

    def rising(x: Tensor, u: Tensor) -> Tensor:
        h, v, m = x
        drag = 0.05 * v * v * (-5 * h).exp()
        return torch.stack([v, (u[0] - drag) / m - 1 / (1 + h) ** 2, -u[0] / 0.8])

    def stage(most: float, least: float, **rest: Any) -> ControlProblem:
        return ControlProblem(
            rising,
            ("h", "v", "m"),
            ("thrust",),
            running_cost=lambda x, u: 1e-3 * u[0] ** 2,
            control_bounds=(0, most),
            state_bounds=([-math.inf, -math.inf, least], None),
            duration=(0.05, 3.0),
            guess={"x": [0.1, 0.3, 1.5], "u": [1.0], "duration": 1.0},
            **rest,
        )

    boost = stage(2.5, 1.3, initial_state=[0, 0, 2.0], title="boost")
    coast = stage(1.0, 0.35, final_cost=lambda x: -x[0], title="coast")
    drop = torch.tensor([0, 0, 0.6], dtype=torch.float64)
    return Phases([boost, coast], [lambda end, start: start - end + drop], **{"title": "two stages", **changed})


def whole(solution: PhasedSolution, name: str) -> Tensor:
    """Numbers at all nodes, those of a junction once."""
    first, second = (getattr(one, name) for one in solution.phases)
    return torch.cat([first, second[1:]])


@cache
def moved(scheme: str = "trapezoidal") -> banded.Solution:
    """The block, with a bound that is active at both ends."""
    return block(control_bounds=(-5, 5), scene=dot).solve(21, scheme)
