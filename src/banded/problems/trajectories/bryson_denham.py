"""A mass that is turned round in front of a wall with the least force (Bryson, Denham & Dreyfus 1963, AIAA J. 1:2544).

p' = v, v' = u, dimensionless, from (0, 1) to (0, -1) in the time 1, with p <= l and ∫ u²/2 dt least. For a limit
l <= 1/6 the mass rests at the wall from 3 l to 1 - 3 l; for l >= 1/4 the wall is not felt (Bryson & Ho 1975, Applied
Optimal Control, §3.11). Breakwell's problem is that with l = 0.1; the bounds on u, v and p from below that PSOPT
states with it hold nowhere, and are left out.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from math import inf
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from banded.control import ControlProblem
from banded.problems.trajectories.scenery import body, box, push, setting

if TYPE_CHECKING:
    from banded.canvas import Axes


def bryson_denham(limit: float = 1 / 9) -> ControlProblem:
    """The mass before a wall at `limit` > 0, dimensionless."""
    if not 0 < limit < inf:
        raise ValueError(f"limit: expected a positive number, got {limit}")
    return ControlProblem(
        dynamics=lambda x, u: torch.stack([x[1], u[0]]),
        states=("position", "velocity"),
        controls=("force",),
        running_cost=lambda x, u: u[0].square() / 2,
        initial_state=[0, 1],
        final_state=[0, -1],
        state_bounds=([-inf, -inf], [limit, inf]),
        duration=1.0,
        guess={"x": [[0.0, 1.0], [0.0, -1.0]]},
        title=f"mass turned before a wall at {limit:.4g}",
        optimum=_least(limit),
        scene=partial(_scene, limit),
    )


def breakwell() -> ControlProblem:
    """The mass before a wall at 0.1."""
    return replace(bryson_denham(0.1), title="Breakwell's problem: a wall at 0.1")


def _least(limit: float) -> float:
    if limit <= 1 / 6:
        return 4 / (9 * limit)
    return 2 + 6 * (1 - 4 * limit) ** 2 if limit < 1 / 4 else 2.0


def _scene(limit: float, axes: Axes, t: float, x: Tensor, u: Tensor) -> None:
    setting(axes, (-0.03, limit + 0.02), (-0.03, 0.05))
    axes.axvline(limit, color="0.3", linewidth=4)
    axes.axvline(0, color="0.6", linewidth=1, linestyle=":")
    body(axes, (float(x[0]) - 0.01, 0), 0, box(0.02, 0.02))
    push(axes, (float(x[0]) - 0.01, 0.02), (float(u[0]) / 150, 0))
