"""Pictures of where a matrix is not zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from banded.canvas import Axes
    from banded.matrix.base import Matrix

BAND, CORNERS, BORDER = 1, 2, 3  # what an entry belongs to
NAMES = {BAND: "band", CORNERS: "corners of the loop", BORDER: "border"}
COLORS = np.array([[255, 255, 255], [85, 85, 85], [230, 159, 0], [0, 114, 178]], dtype=np.uint8)  # told apart by all

HEAD, TAIL, GAP = 40, 20, 2  # rows of a large matrix that are drawn, and the room for those that are not
TICKS = 8  # at most, of a small matrix


def draw(axes: Axes, matrix: Matrix) -> None:
    """The non-zeros of the (first) matrix; where it is large, of its first and last rows."""
    m, n = matrix.shape[-2:]
    parts = _parts(matrix, _shown(m), _shown(n))
    cells = parts
    for dimension, size in enumerate((m, n)):
        if size > HEAD + TAIL:
            cells = np.insert(cells, [HEAD] * GAP, 0, axis=dimension)
    axes.imshow(COLORS[cells], interpolation="nearest")
    for axis, strip, size in ((axes.yaxis, axes.axhspan, m), (axes.xaxis, axes.axvspan, n)):
        axis.set_ticks(*_ticks(size))
        if size > HEAD + TAIL:
            strip(HEAD - 0.5, HEAD + GAP - 0.5, color="0.9", linewidth=0)
    _name_parts(axes, np.unique(parts[parts > 0]))
    rest = "" if max(m, n) <= HEAD + TAIL else f", first {HEAD} and last {TAIL} rows"
    widths = matrix._widths().replace("=", " ")
    axes.set_title(f"{type(matrix).__name__}, {matrix._size().replace('=', ' = ')}{rest}\n{widths}", fontsize=10)


def _shown(size: int) -> Tensor:
    """Numbers of the rows that are drawn."""
    if size <= HEAD + TAIL:
        return torch.arange(size)
    return torch.cat([torch.arange(HEAD), torch.arange(size - TAIL, size)])


def _ticks(size: int) -> tuple[list[int], list[str]]:
    """Places of ticks in the picture, and the rows that are there."""
    if size <= HEAD + TAIL:
        places = list(range(0, size, -(-size // TICKS)))
        return places, [str(place) for place in places]
    last = HEAD + GAP + TAIL
    places = [0, HEAD // 2, HEAD + GAP, last - 1]
    return places, [str(place if place < HEAD else place - last + size) for place in places]


def _parts(matrix: Matrix, rows: Tensor, columns: Tensor) -> np.ndarray:
    """For each pair of a row and a column shown, what its entry belongs to; 0 where it is zero."""
    i, j = rows.to(matrix.device)[:, None], columns.to(matrix.device)
    entries = matrix[i, j].detach().reshape(-1, len(rows), len(columns))[0]
    parts: np.ndarray = torch.where(entries != 0, matrix._part(i, j), 0).cpu().numpy()
    return parts


def _name_parts(axes: Axes, present: np.ndarray) -> None:
    """A legend below the picture, where there is more than one part to tell apart."""
    if len(present) < 2:
        return
    for part in present:
        axes.plot([], [], "s", color=COLORS[part] / 255, label=NAMES[int(part)])
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.06), ncols=3, fontsize=8, frameon=False)
