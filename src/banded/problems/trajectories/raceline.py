"""The lap of least time round a closed track, for a point mass within its friction circle.

Along the centre line, with s m its arc length, κ 1/m its curvature, and n m how far to the left of it the car is:

    dt/ds = (1 - n κ) / (v cos ξ),   n' = (1 - n κ) tan ξ,   ξ' = (a/v) dt/ds - κ,   v' = b dt/ds,

where ξ rad is the heading beside the track's, v m/s the speed, and b, a m/s² the accelerations along and across,
positive to the left, a² + b² <= (μ g)². The edges bound n, and the lap closes on itself (Perantoni & Limebeer 2014,
Vehicle Syst. Dyn. 52:653, whose coordinates these are; Lot & Biral 2014, IFAC Proc. 47(3):7559).
"""

from __future__ import annotations

from functools import partial
from math import cos, inf, sin
from os import PathLike
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from banded.control import ControlProblem
from banded.problems.trajectories.scenery import push
from banded.problems.trajectories.track import Track, read_track

if TYPE_CHECKING:
    from banded.canvas import Axes

GRAVITY = 9.81  # m/s²
SLOWEST = 5.0  # m/s
TURNED = 1.2  # rad: the largest heading beside the track's


def raceline(
    path: str | PathLike[str], grip: float = 1.2, top_speed: float = 80.0, margin: float = 0.0
) -> ControlProblem:
    """The fastest lap; its "time" t is the distance s along the centre line, its cost the lap time in s.

    Args:
        path: a CSV file with the columns `x_m, y_m, w_tr_right_m, w_tr_left_m`, as in the TUMFTM racetrack-database.
        grip: μ, accelerations in g.
        top_speed: in m/s.
        margin: how far to stay from the edges, in m, such as half of the car's width.

    Raises:
        OSError, FileFormatError: if that is no track.
        ValueError: for arguments that leave no way.
    """
    track = read_track(path)
    if not 0 < grip < inf:
        raise ValueError(f"grip: expected a positive number, got {grip}")
    if not SLOWEST < top_speed < inf:
        raise ValueError(f"top_speed: expected more than {SLOWEST:g} m/s, got {top_speed}")
    if not 0 <= margin < float((track.left + track.right).min()) / 2:
        raise ValueError(
            f"margin: expected less than half of the track's least width, "
            f"{float((track.left + track.right).min()):.4g} m, and not below 0, got {margin}"
        )
    return lap(track, grip * GRAVITY, top_speed, margin)


def lap(track: Track, hold: float, top_speed: float, margin: float) -> ControlProblem:
    """The problem of `raceline`, with `hold` m/s² for what the tyres can do."""

    def slowness(x: Tensor, t: Tensor) -> Tensor:
        offset, heading, speed = x
        found: Tensor = (1 - offset * track.at(track.curvature, t)) / (speed * heading.cos())
        return found

    def dynamics(x: Tensor, u: Tensor, t: Tensor) -> Tensor:
        _, heading, speed = x
        slow = slowness(x, t)
        turn = u[1] / speed * slow - track.at(track.curvature, t)
        return torch.stack([speed * heading.sin() * slow, turn, u[0] * slow])

    def path(x: Tensor, u: Tensor, t: Tensor) -> Tensor:
        left = track.at(track.left, t) - margin - x[0]
        right = x[0] + track.at(track.right, t) - margin
        return torch.stack([1 - u.square().sum() / hold**2, left, right])

    return ControlProblem(
        dynamics=dynamics,
        states=("offset", "heading", "speed"),
        controls=("along", "across"),
        running_cost=lambda x, u, t: slowness(x, t),
        path_constraint=path,
        state_bounds=([-inf, -TURNED, SLOWEST], [inf, TURNED, top_speed]),
        duration=track.length,
        periodic=True,
        title=f"fastest lap of {track.length:.0f} m",
        scene=partial(_scene, track),
    )


def _scene(track: Track, axes: Axes, t: float, x: Tensor, u: Tensor) -> None:
    """The track, the car, and what its tyres do."""
    s = torch.linspace(0, track.length, 400, dtype=torch.float64)
    for width in (track.left, -track.right):
        axes.plot(*track.points(s, track.at(width, s)).T.tolist(), color="0.5", linewidth=0.6, zorder=0)
    here = torch.tensor([t], dtype=torch.float64)
    car = track.points(here, x[:1])[0].tolist()
    axes.plot(*car, "o", color="C3", markersize=6)
    heading, length = float(track.at(track.heading, here)[0] + x[1]), track.length / 400
    along, aside = u.tolist()
    ahead = length * cos(heading), length * sin(heading)
    push(axes, (car[0], car[1]), (along * ahead[0] - aside * ahead[1], along * ahead[1] + aside * ahead[0]))
    axes.set(aspect="equal")
