"""Van der Pol's oscillator, brought to rest with a bounded control; data as in dymos.

x0' = (1 - x1²) x0 - x1 + u, x1' = x0, dimensionless, from (1, 1) to (0, 0) in the time 15, with -0.75 <= u <= 1 and
∫ x0² + x1² + u² dt least. A variant has a bound on a state: x0 >= -0.25, from (0, 1) to anywhere in the time 10, with
|u| <= 1.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from banded.control import ControlProblem
from banded.problems.trajectories.scenery import push, setting

if TYPE_CHECKING:
    from banded.canvas import Axes


def van_der_pol(floor: float | None = None) -> ControlProblem:
    """The oscillator.

    Args:
        floor: the least x0 of the variant, <= 0, in the reference -0.25; None for the problem without.
    """
    if floor is not None and not floor <= 0:
        raise ValueError(f"floor: expected a number <= 0, which x0 begins with, got {floor}")
    given: dict[str, Any] = {
        "dynamics": _dynamics,
        "states": 2,
        "controls": 1,
        "running_cost": lambda x, u: x.square().sum() + u[0].square(),
        "scene": _scene,
    }
    if floor is None:
        return ControlProblem(
            **given,
            initial_state=[1, 1],
            final_state=[0, 0],
            control_bounds=(-0.75, 1),
            duration=15.0,
            title="Van der Pol's oscillator, brought to rest",
            optimum=5.27805092,
        )
    return ControlProblem(
        **given,
        initial_state=[0, 1],
        state_bounds=([floor, -inf], [inf, inf]),
        control_bounds=(-1, 1),
        duration=10.0,
        guess={"x": [0.0, 0.0]},
        title=f"Van der Pol's oscillator, x0 >= {floor:g}",
        optimum=3.61518 if floor == -0.25 else None,
    )


def _dynamics(x: Tensor, u: Tensor) -> Tensor:
    return torch.stack([(1 - x[1] ** 2) * x[0] - x[1] + u[0], x[0]])


def _scene(axes: Axes, t: float, x: Tensor, u: Tensor) -> None:
    """In the phase plane."""
    setting(axes, (-1.5, 1.5), (-1, 1.8))
    axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    axes.axvline(0, color="0.8", linewidth=0.8, zorder=0)
    here = float(x[0]), float(x[1])
    axes.plot(*here, "o", color="C3", markersize=8)
    push(axes, here, (float(u[0]) / 2, 0))
    axes.set(xlabel="x0", ylabel="x1")
