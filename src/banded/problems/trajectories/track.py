"""Closed tracks: a centre line with a width to either side, by its arc length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor

from banded.errors import FileFormatError

COLUMNS = ("x_m", "y_m", "w_tr_right_m", "w_tr_left_m")
FINE = 8  # entries of the tables for each point of the file


@dataclass(frozen=True, eq=False)
class Track:
    """Tables along a closed centre line, at equal distances; the last row is the first again.

    Attributes:
        length: of the lap in m.
        center: `(M, 2)`: points in m.
        heading: `(M,)`: of the tangent in rad, without jumps.
        curvature: `(M,)`: in 1/m, positive where the track bends to the left.
        left, right: `(M,)`: how far the edges are from the centre line in m.
    """

    length: float
    center: Tensor
    heading: Tensor
    curvature: Tensor
    left: Tensor
    right: Tensor

    def at(self, table: Tensor, s: Tensor) -> Tensor:
        """A table `(M, ...)` at distances s `(...)` along the lap, linear between its rows."""
        place = s.reshape(-1) / self.length * (len(table) - 1)  # one index at least: vmap takes no other
        row = place.floor().long().clamp(0, len(table) - 2)
        part = (place - row).reshape((-1, *[1] * (table.ndim - 1)))
        return (table[row] + part * (table[row + 1] - table[row])).reshape((*s.shape, *table.shape[1:]))

    def points(self, s: Tensor, offset: Tensor) -> Tensor:
        """`(P, 2)` in m: points at s `(P,)`, `offset` `(P,)` to the left of the centre line."""
        heading = self.at(self.heading, s)
        normal = torch.stack([-heading.sin(), heading.cos()], -1)
        return self.at(self.center, s) + offset[..., None] * normal


def read_track(path: str | PathLike[str]) -> Track:
    """A track from a CSV file with the columns `x_m, y_m, w_tr_right_m, w_tr_left_m`, a row for each point.

    The centre line is a periodic cubic spline through the points.

    Raises:
        OSError: if there is no such file.
        FileFormatError: for missing columns, entries that are no finite numbers, widths that leave no room, a point
            that comes twice in a row, or fewer than five points.
    """
    file = Path(path)
    rows = _rows(file)
    points, right, left = rows[:, :2], rows[:, 2], rows[:, 3]
    bad = np.flatnonzero((right < 0) | (left < 0) | (right + left == 0))
    if len(bad):
        raise FileFormatError(
            f"{file}: expected widths >= 0 that leave room, got {right[bad[0]]} and {left[bad[0]]} at point {bad[0]}"
        )
    closed = np.concatenate([points, points[:1]])
    chords = np.hypot(*np.diff(closed, axis=0).T)
    if not chords.all():
        where = int(np.flatnonzero(chords == 0)[0])
        raise FileFormatError(
            f"{file}: expected distinct points on a closed line whose last point is not the first again; point "
            f"{where} and the next coincide"
        )
    return _splined(closed, np.append(left, left[0]), np.append(right, right[0]), np.append(0, chords.cumsum()))


def _rows(file: Path) -> np.ndarray:
    """`(n, 4)`: what is in the columns."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{file}: expected a text file in UTF-8; {error}") from error
    header = [cell.strip() for cell in lines[0].lstrip("# ").split(",")] if lines else []
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise FileFormatError(
            f"{file}: expected a first line with the columns {', '.join(COLUMNS)}; {', '.join(missing)} missing"
        )
    which = [header.index(name) for name in COLUMNS]
    found = [
        _row(f"{file}, line {number}", line.split(","), len(header), which)
        for number, line in enumerate(lines[1:], 2)
        if line.strip() and not line.startswith("#")
    ]
    if len(found) < 5:
        raise FileFormatError(f"{file}: expected at least five points on a closed line, got {len(found)}")
    return np.array(found)


def _row(where: str, cells: Sequence[str], count: int, which: Sequence[int]) -> list[float]:
    if len(cells) != count:
        raise FileFormatError(f"{where}: expected {count} columns, got {len(cells)}")
    try:
        row = [float(cells[i]) for i in which]
    except ValueError as error:
        raise FileFormatError(f"{where}: expected numbers, got {','.join(cells)!r}") from error
    if not np.isfinite(row).all():
        raise FileFormatError(f"{where}: expected finite numbers, got {','.join(cells)!r}")
    return row


def _splined(closed: np.ndarray, left: np.ndarray, right: np.ndarray, chord: np.ndarray) -> Track:
    """Tables at equal arc lengths of the spline through closed points `(n + 1, 2)` at `chord` `(n + 1,)`."""
    spline = CubicSpline(chord, closed, bc_type="periodic")
    dense = np.linspace(0, chord[-1], 10 * FINE * len(chord))
    speed = np.hypot(*spline(dense, 1).T)
    arc = np.append(0, np.cumsum((speed[1:] + speed[:-1]) / 2 * np.diff(dense)))
    at = np.interp(np.linspace(0, arc[-1], FINE * (len(chord) - 1) + 1), arc, dense)
    (dx, dy), (ddx, ddy) = spline(at, 1).T, spline(at, 2).T
    tables = (
        spline(at),
        np.unwrap(np.arctan2(dy, dx)),
        (dx * ddy - dy * ddx) / np.hypot(dx, dy) ** 3,
        np.interp(at, chord, left),
        np.interp(at, chord, right),
    )
    return Track(float(arc[-1]), *map(torch.from_numpy, tables))
