"""The racing line of a real circuit: least squared curvature between the edges of the track.

    python examples/raceline.py TRACK.csv [-o LINE.csv] [--plot LINE.png] [--compare OTHER.csv]

TRACK.csv holds a closed centre line with the widths to either side, a row per
point: `x_m, y_m, w_tr_right_m, w_tr_left_m`, all in metres (the format of the
TUMFTM racetrack database). The unknowns are the lateral offsets a_i of the
line to the right, one for each point; the loss is Σ κ² ds over the closed
line, and the edges are bounds: -left_i <= a_i <= right_i.

The circuit is a closed loop, so that the first unknowns meet the last ones: a
periodic chain of half-bandwidth 2, whose band wraps round.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

import banded

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import LineCollection

COLUMNS = ("x_m", "y_m", "w_tr_right_m", "w_tr_left_m")
LOUD = 1e-3  # of the largest multiplier, from which an edge is said to hold a point
HELD: Any = {"color": "C0", "marker": "o", "markersize": 4, "linestyle": "none"}


@dataclass(frozen=True)
class Track:
    """A closed track: centre line `(n, 2)`, unit normals to its right `(n, 2)`, widths `(n,)`, in metres."""

    center: Tensor
    normal: Tensor
    right: Tensor
    left: Tensor

    def line(self, offset: Tensor) -> Tensor:
        """`(n, 2)`: the points `offset` metres to the right of the centre line."""
        return self.center + offset[:, None] * self.normal


@dataclass(frozen=True)
class Raceline:
    """The outcome.

    Attributes:
        offset: `(n,)`, to the right in metres.
        pull: `(n,)`, multipliers of the edges in 1/m²: how fast Σ κ² ds would fall if an edge moved outwards there,
            positive on the right, negative on the left, zero nearly where the line is free.
        curvature: Σ κ² ds in 1/m.
        iterations: Newton steps.
        seconds: of the whole solve.
    """

    offset: Tensor
    pull: Tensor
    curvature: float
    iterations: int
    seconds: float


def read_track(path: Path) -> Track:
    """Read and check a track.

    Raises:
        banded.FileFormatError: for missing columns, entries that are no finite
            numbers, negative widths, repeated points, or fewer than five points.
    """
    table = torch.from_numpy(read_columns(path, COLUMNS))
    center, right, left = table[:, :2], table[:, 2], table[:, 3]
    narrow = ((right < 0) | (left < 0) | (right + left == 0)).nonzero()
    if len(narrow):
        i = int(narrow[0])
        raise banded.FileFormatError(
            f"{path}: expected widths >= 0 that leave room, got {float(right[i])} and {float(left[i])} at point {i}"
        )
    along = center.roll(-1, 0) - center.roll(1, 0)
    for name, length in (("next", (center.roll(-1, 0) - center).norm(dim=1)), ("next but one", along.norm(dim=1))):
        same = (length == 0).nonzero()
        if len(same):
            raise banded.FileFormatError(
                f"{path}: expected distinct points on a closed line whose last point is not the first again; "
                f"point {int(same[0])} and the {name} coincide"
            )
    tangent = along / along.norm(dim=1, keepdim=True)
    return Track(center, torch.stack([tangent[:, 1], -tangent[:, 0]], 1), right, left)


def read_columns(path: Path, names: tuple[str, ...]) -> np.ndarray:
    """`(n, len(names))`: columns of a CSV file, found by the names in its first line, n >= 5."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise banded.FileFormatError(f"{path}: expected a text file in UTF-8; {error}") from error
    header = [cell.strip() for cell in lines[0].lstrip("# ").split(",")] if lines else []
    missing = [name for name in names if name not in header]
    if missing:
        raise banded.FileFormatError(
            f"{path}: expected a first line with the columns {', '.join(names)}; {', '.join(missing)} missing"
        )
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        if line.strip() and not line.startswith("#"):
            rows.append(_row(path, number, line.split(","), header, names))
    if len(rows) < 5:
        raise banded.FileFormatError(f"{path}: expected at least five points on a closed line, got {len(rows)}")
    return np.array(rows)


def _row(path: Path, number: int, cells: list[str], header: list[str], names: tuple[str, ...]) -> list[float]:
    if len(cells) != len(header):
        raise banded.FileFormatError(f"{path}, line {number}: expected {len(header)} columns, got {len(cells)}")
    row = []
    for name in names:
        cell = cells[header.index(name)].strip()
        try:
            value = float(cell)
        except ValueError:
            value = float("nan")
        if not np.isfinite(value):
            raise banded.FileFormatError(f"{path}, line {number}: expected a finite number in {name}, got {cell!r}")
        row.append(value)
    return row


def curvature(points: Tensor) -> tuple[Tensor, Tensor]:
    """Turning angle in radians and length in metres that belong to each point of a closed line, `(n,)` both."""
    after = points.roll(-1, 0) - points
    before = after.roll(1, 0)
    cross = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    angle = torch.atan2(cross, (before * after).sum(1))
    return angle, (before.norm(dim=1) + after.norm(dim=1)) / 2


def squared_curvature(points: Tensor) -> Tensor:
    """Σ κ² ds = Σ angle² / length, in 1/m."""
    angle, length = curvature(points)
    return (angle.square() / length).sum()


def solve(track: Track) -> Raceline:
    """The offsets of least squared curvature within the edges.

    Raises:
        RuntimeError: if it is not found; says why.
    """
    result = banded.minimize(
        lambda offset: squared_curvature(track.line(offset)),
        (track.right - track.left) / 2,  # the middle
        bounds=(-track.left, track.right),
        progress=False,
    )
    edges = result.multipliers
    if not result.success or edges is None:
        raise RuntimeError(result.explain())
    return Raceline(result.x, edges.upper - edges.lower, result.value, result.iterations, result.seconds)


def held(line: Raceline) -> Tensor:
    """`(n,)`: at which points an edge holds the line back."""
    return line.pull.abs() > LOUD * line.pull.abs().max()


def draw(track: Track, line: Raceline, title: str, path: Path) -> None:
    """Edges and line on the map and in the tightest bend, curvature and offset along the lap."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 11), layout="constrained")
    panels: Any = [["map", "bend"], ["curvature", "curvature"], ["offset", "offset"]]
    axes = figure.subplot_mosaic(panels, height_ratios=[5, 2, 2])
    points = track.line(line.offset)
    angle, length = curvature(points)
    bend = (angle / length).abs()
    for name in ("map", "bend"):
        scale = _draw_map(axes[name], track, points, bend, points[held(line)])
    figure.colorbar(scale, ax=axes["bend"], label="|curvature| of the line in 1/m", location="right", shrink=0.8)
    axes["map"].set(title=title)
    x, y = points[bend.argmax()].tolist()
    axes["bend"].set(xlim=(x - 70, x + 70), ylim=(y - 70, y + 70), title="its tightest bend")

    distance = length.cumsum(0) / 1000
    center_angle, center_length = curvature(track.center)
    axes["curvature"].plot(distance, center_angle / center_length, color="grey", linewidth=0.8, label="centre line")
    axes["curvature"].plot(distance, angle / length, color="C3", linewidth=1.2, label="racing line")
    axes["curvature"].set(ylabel="curvature in 1/m", title=f"Σ κ² ds = {line.curvature:.6f} / m")
    axes["curvature"].legend(loc="upper right")
    axes["offset"].fill_between(distance, -track.left, track.right, color="lightgrey")
    axes["offset"].plot(distance, line.offset, color="C3", linewidth=1.2)
    axes["offset"].plot(distance[held(line)], line.offset[held(line)], label="held by an edge", **HELD)
    axes["offset"].legend(loc="lower right", bbox_to_anchor=(1, 1), frameon=False)
    axes["offset"].set(
        xlabel="distance along the lap in km", ylabel="offset to the right in m", title="within the track"
    )
    figure.savefig(path, dpi=120)


def _draw_map(axes: Axes, track: Track, points: Tensor, bend: Tensor, on_edge: Tensor) -> LineCollection:
    from matplotlib.collections import LineCollection

    for edge in (track.line(track.right), track.line(-track.left)):
        axes.fill(*edge.T.numpy(), fill=False, edgecolor="black", linewidth=0.8)
    closed = torch.cat([points, points[:1]]).numpy()
    segments = list(np.stack([closed[:-1], closed[1:]], 1))
    collection = LineCollection(segments, array=bend.numpy(), cmap="plasma", linewidth=2)
    axes.add_collection(collection)
    axes.plot(*on_edge.T.numpy(), **HELD, zorder=3)
    axes.set(aspect="equal", xlabel="x in m", ylabel="y in m")
    return collection


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 0 solved, 1 not solved, 2 bad input."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("track", type=Path, metavar="TRACK.csv")
    parser.add_argument("-o", "--output", type=Path, metavar="LINE.csv", help="write the line: x_m, y_m, offset_m")
    parser.add_argument("--plot", type=Path, metavar="LINE.png", help="draw edges, line and curvature")
    parser.add_argument("--compare", type=Path, metavar="OTHER.csv", help="another line, x_m, y_m, to measure")
    options = parser.parse_args(arguments)
    try:
        for path in (options.output, options.plot):
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
        track = read_track(options.track)
        line = solve(track)
        other = read_columns(options.compare, ("x_m", "y_m")) if options.compare else None
    except (OSError, banded.BandedError) as error:
        print(f"raceline: {error}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        print(f"raceline: {error}", file=sys.stderr)
        return 1
    print(f"{options.track.stem}: {len(track.center)} points, {line.iterations} Newton steps, {line.seconds:.2f} s")
    print(f"squared curvature: centre line {float(squared_curvature(track.center)):.6f} / m")
    if other is not None:
        print(f"                   {options.compare.stem} {float(squared_curvature(torch.from_numpy(other))):.6f} / m")
    print(f"                   racing line {line.curvature:.6f} / m, held by an edge at {int(held(line).sum())} points")
    if options.output:
        table = torch.cat([track.line(line.offset), line.offset[:, None]], 1)
        np.savetxt(options.output, table.numpy(), fmt="%.9f", delimiter=",", header="x_m,y_m,offset_m")
        print(f"line: {options.output}")
    if options.plot:
        draw(track, line, f"{options.track.stem}: line of least squared curvature", options.plot)
        print(f"picture: {options.plot}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
