"""A band, or a loop, with some unknowns that couple to everything."""

from __future__ import annotations

import torch
from torch import Tensor

from banded.factor import BorderedCholesky, mirrored
from banded.matrix.base import Matrix
from banded.matrix.pattern import BORDER


class Bordered(Matrix):
    """A = [[B, Eᵀ], [E, C]]: a banded core B and p dense rows and columns, the border.

    Also called an arrowhead. For n = 6, k = 1, p = 1::

        B B . . . E
        B B B . . E
        . B B B . E
        . . B B B E
        . . . B B E
        E E E E E C

    Args:
        core: B, of n - p unknowns.
        border: E `(..., p, n - p)` with p >= 1.
        corner: C `(..., p, p)`; what lies above its diagonal is not read.

    Raises:
        TypeError: if `core` is not a matrix of this package, or the others are not tensors.
        ValueError: if the shapes, dtypes or devices do not fit each other.
    """

    __slots__ = ("border", "core", "corner")

    def __init__(self, core: Matrix, border: Tensor, corner: Tensor) -> None:
        _check_parts(core, border, corner)
        self.core, self.border = core, border
        self.corner = mirrored(corner)

    @property
    def band(self) -> Tensor:
        """`(..., k + 1, n - p)`: the band of the core."""
        return self.core.band

    @property
    def n(self) -> int:
        """Number of rows and columns, border included."""
        return self.core.n + self.p

    @property
    def p(self) -> int:
        """Unknowns in the border."""
        return self.border.shape[-2]

    def diagonal(self) -> Tensor:
        """`(..., n)`: A[i, i]."""
        return torch.cat([self.core.diagonal(), self.corner.diagonal(dim1=-2, dim2=-1)], -1)

    def __abs__(self) -> Bordered:
        """The matrix of absolute entries."""
        return Bordered(abs(self.core), self.border.abs(), self.corner.abs())

    def cholesky(self) -> BorderedCholesky:
        """Factor A once: the core, then the Schur complement of the border.

        Raises:
            NotPositiveDefiniteError: with the row at which the factorisation stops.
            NonFiniteError: if an entry is NaN or infinite.
        """
        return BorderedCholesky(self.core.cholesky(), self.border, self.corner)

    def _entries(self, i: Tensor, j: Tensor) -> Tensor:
        m = self.core.n
        row, column = torch.maximum(i, j), torch.minimum(i, j)
        last = torch.cat([self.border, self.corner], -1)[..., (row - m).clamp(min=0), column]
        return torch.where(row < m, self.core._entries(row.clamp(max=m - 1), column.clamp(max=m - 1)), last)

    def _times(self, x: Tensor) -> Tensor:
        head, tail = x[..., : self.core.n, :], x[..., self.core.n :, :]
        above = self.core._times(head) + self.border.mT @ tail
        return torch.cat([above, self.border @ head + self.corner @ tail], -2)

    def _shifted(self, shift: Tensor) -> Bordered:
        m = self.core.n
        return Bordered(self.core._shifted(shift[..., :m]), self.border, self.corner + torch.diag_embed(shift[..., m:]))

    def _part(self, i: Tensor, j: Tensor) -> Tensor:
        return torch.where(torch.maximum(i, j) < self.core.n, self.core._part(i, j), BORDER)

    def _widths(self) -> str:
        return f"core={type(self.core).__name__}, {self.core._widths()}, border={self.p}"


def _check_parts(core: Matrix, border: Tensor, corner: Tensor) -> None:
    if not isinstance(core, Matrix):
        raise TypeError(f"core: expected a matrix like SymmetricBanded(band), got {type(core).__name__}")
    for name, part in (("border", border), ("corner", corner)):
        if not isinstance(part, Tensor):
            raise TypeError(f"{name}: expected a tensor, got {type(part).__name__}")
        if part.dtype != core.dtype or part.device != core.device:
            raise ValueError(
                f"{name}: expected {core.dtype} on {core.device} like the core, got {part.dtype} on {part.device}; "
                f"convert it with {name}.to(...)"
            )
    p = border.shape[-2] if border.ndim >= 2 else 0
    if border.shape != (*core.batch_shape, p, core.n) or corner.shape != (*core.batch_shape, p, p) or p == 0:
        batch = "".join(f"{size}, " for size in core.batch_shape)
        raise ValueError(
            f"border, corner: expected shapes ({batch}p, {core.n}) and ({batch}p, p) with p >= 1 "
            f"for a core of shape {tuple(core.shape)}, got {tuple(border.shape)} and {tuple(corner.shape)}"
        )
