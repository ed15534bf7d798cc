"""A block that is pushed from rest to rest with the least force (Kelly 2017, SIAM Review 59:849-904).

Of 1 kg without friction, by 1 m in 1 s: p' = v, v' = u with ∫ u² dt least. The force is 6 - 12 t, and the cost 12.
The trapezoidal rule on N intervals costs 12 / (1 - 4/N² + 3/N³), Hermite and Simpson's exactly 12.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from banded.control import ControlProblem
from banded.problems.trajectories.scenery import setting, slider

if TYPE_CHECKING:
    from banded.canvas import Axes


def block_move() -> ControlProblem:
    """The move; states p m and v m/s, control u N, cost in N² s."""
    return ControlProblem(
        dynamics=lambda x, u: torch.stack([x[1], u[0]]),
        states=("position", "velocity"),
        controls=("force",),
        running_cost=lambda x, u: u[0].square(),
        initial_state=[0, 0],
        final_state=[1, 0],
        duration=1.0,
        title="block moved with the least force",
        optimum=12.0,
        scene=_scene,
    )


def _scene(axes: Axes, t: float, x: Tensor, u: Tensor) -> None:
    setting(axes, (-0.3, 1.3), (-0.3, 0.5))
    slider(axes, float(x[0]), float(u[0]) / 20, 1)
