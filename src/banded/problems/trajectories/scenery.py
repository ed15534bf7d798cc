"""What scenes of problems are drawn with."""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, sin
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from banded.canvas import Axes

Pair = tuple[float, float]
FORCE: Any = {"angles": "xy", "scale_units": "xy", "scale": 1, "color": "C1", "zorder": 4}
GROUND: Any = {"color": "0.6", "linewidth": 1, "zorder": 0}


def setting(axes: Axes, across: Pair, up: Pair) -> None:
    """What is seen, from where to where, in equal units."""
    axes.set(xlim=across, ylim=up, aspect="equal")
    axes.tick_params(labelsize=7)


def rods(axes: Axes, joints: Sequence[Pair], **style: Any) -> None:
    """A line from joint to joint, with a mass at each but the first."""
    axes.plot(*zip(*joints, strict=True), **{"color": "C0", "linewidth": 2, **style})
    axes.plot(*zip(*joints[1:], strict=True), "o", color="C3", markersize=6)


def push(axes: Axes, at: Pair, by: Pair) -> None:
    """An arrow from a point, in the units of the axes."""
    if by != (0, 0):
        axes.quiver([at[0]], [at[1]], [by[0]], [by[1]], **FORCE)


def body(axes: Axes, at: Pair, angle: float, outline: Sequence[Pair], **style: Any) -> None:
    """A polygon, turned by an angle in radians and moved to a point."""
    c, s = cos(angle), sin(angle)
    corners = [(at[0] + c * x - s * y, at[1] + s * x + c * y) for x, y in outline]
    axes.fill(*zip(*corners, strict=True), **{"facecolor": "C0", "edgecolor": "black", "linewidth": 0.8, **style})


def box(length: float, height: float) -> list[Pair]:
    """A rectangle about the origin."""
    return [(-length / 2, -height / 2), (length / 2, -height / 2), (length / 2, height / 2), (-length / 2, height / 2)]


def slider(axes: Axes, at: float, by: float, goal: float) -> None:
    """A block on the ground from 0 to `goal`, pushed along it."""
    axes.axhline(-0.06, **GROUND)
    for end in (0.0, goal):
        axes.plot([end, end], [-0.06, -0.14], color="0.4", linewidth=1)
    body(axes, (at, 0), 0, box(0.16, 0.12))
    push(axes, (at, 0.12), (by, 0))
