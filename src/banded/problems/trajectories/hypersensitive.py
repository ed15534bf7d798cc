"""A state that decays, rests, and grows again at the very end (Rao & Mease 1999, Automatica 35:633); data of PSOPT.

x' = -x³ + u, dimensionless, from 1.5 to 1 in the time T, with ∫ (x² + u²)/2 dt least and bounds of ±50 on both that
hold nowhere. For T of 40 and more the middle is at rest, and the cost is that of both ends, 1.330807.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from torch import Tensor

from banded.control import ControlProblem
from banded.problems.trajectories.scenery import GROUND, push, setting

if TYPE_CHECKING:
    from banded.canvas import Axes


def hypersensitive(duration: float = 50.0) -> ControlProblem:
    """The state over a `duration` > 0."""
    if not 0 < duration < inf:
        raise ValueError(f"duration: expected a positive number, got {duration}")
    return ControlProblem(
        dynamics=lambda x, u: -(x**3) + u,
        states=("x",),
        controls=("u",),
        running_cost=lambda x, u: (x[0].square() + u[0].square()) / 2,
        initial_state=[1.5],
        final_state=[1],
        state_bounds=(-50, 50),
        control_bounds=(-50, 50),
        duration=duration,
        guess={"x": [1.0], "u": [0.0]},
        title=f"hypersensitive problem over {duration:g}",
        optimum=1.330807 if duration >= 40 else None,
        scene=_scene,
    )


def _scene(axes: Axes, t: float, x: Tensor, u: Tensor) -> None:
    setting(axes, (-0.5, 2), (-0.5, 0.5))
    axes.axhline(0, **GROUND)
    axes.plot(0, 0, "|", color="0.3", markersize=12)
    axes.plot(float(x[0]), 0, "o", color="C3", markersize=8)
    push(axes, (float(x[0]), 0.1), (float(u[0]) / 4, 0))
    axes.set(xlabel="x", yticks=[])
