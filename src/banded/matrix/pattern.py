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
    n = matrix.n
    whole = n <= HEAD + TAIL
    shown = torch.arange(n) if whole else torch.cat([torch.arange(HEAD), torch.arange(n - TAIL, n)])
    parts = _parts(matrix, shown)
    cells = parts if whole else np.insert(np.insert(parts, [HEAD] * GAP, 0, axis=0), [HEAD] * GAP, 0, axis=1)
    axes.imshow(COLORS[cells], interpolation="nearest")
    if not whole:
        for strip in (axes.axhspan, axes.axvspan):
            strip(HEAD - 0.5, HEAD + GAP - 0.5, color="0.9", linewidth=0)
    ticks = range(0, n, -(-n // TICKS)) if whole else [0, HEAD // 2, HEAD + GAP, HEAD + GAP + TAIL - 1]
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(ticks, [str(tick if tick < HEAD or whole else tick - len(cells) + n) for tick in ticks])
    _name_parts(axes, np.unique(parts[parts > 0]))
    rest = "" if whole else f", first {HEAD} and last {TAIL} rows"
    widths = matrix._widths().replace("=", " ")
    axes.set_title(f"{type(matrix).__name__}, n = {n}{rest}\n{widths}", fontsize=10)


def _parts(matrix: Matrix, shown: Tensor) -> np.ndarray:
    """For each pair of the unknowns `shown`, what its entry belongs to; 0 where it is zero."""
    rows = shown.to(matrix.device)
    entries = matrix[rows[:, None], rows].detach().reshape(-1, len(rows), len(rows))[0]
    parts: np.ndarray = torch.where(entries != 0, matrix._part(rows[:, None], rows), 0).cpu().numpy()
    return parts


def _name_parts(axes: Axes, present: np.ndarray) -> None:
    """A legend below the picture, where there is more than one part to tell apart."""
    if len(present) < 2:
        return
    for part in present:
        axes.plot([], [], "s", color=COLORS[part] / 255, label=NAMES[int(part)])
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.06), ncols=3, fontsize=8, frameon=False)
