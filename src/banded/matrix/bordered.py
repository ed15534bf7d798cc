"""A band, or a loop, with some unknowns that couple to everything."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from banded.factor import BorderedCholesky, BorderedLDL, mirrored
from banded.matrix.base import Matrix
from banded.matrix.pattern import BORDER
from banded.matrix.symmetric import Symmetric


class Bordered(Symmetric):
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

    def __init__(self, core: Symmetric, border: Tensor, corner: Tensor) -> None:
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

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """Those of the core, the border and the corner."""
        return (*self.core.tensors, self.border, self.corner)

    def with_tensors(self, tensors: tuple[Any, ...]) -> Bordered:
        """The same structure with other entries, without a check."""
        *inner, border, corner = tensors
        matrix = Bordered.__new__(Bordered)
        matrix.core, matrix.border, matrix.corner = self.core.with_tensors(tuple(inner)), border, corner
        return matrix

    def is_like(self, other: Matrix) -> bool:
        """Whether both have cores of one structure."""
        return isinstance(other, Bordered) and self.core.is_like(other.core)

    def cleaned(self) -> Bordered:
        """The same matrix, with zeros in the cells of its band that lie outside."""
        return self.with_tensors((*self.core.cleaned().tensors, self.border, self.corner))

    def cholesky(self) -> BorderedCholesky:
        """Factor A once: the core, then the Schur complement of the border.

        Raises:
            NotPositiveDefiniteError: with the row at which the factorisation stops.
            NonFiniteError: if an entry is NaN or infinite.
        """
        return BorderedCholesky(self.core.cholesky(), self.border, self.corner)

    def ldl(self) -> BorderedLDL:
        """Factor A = L D Lᵀ once: the core, then the Schur complement of the border.

        Raises:
            NonFiniteError: if an entry is NaN or infinite.
            SingularError: if the core is singular.
        """
        return BorderedLDL(self.core.ldl(), self.border, self.corner)

    def inverse_band(self) -> Bordered:
        """The entries of A⁻¹ on the band, in the border and the corner; differentiable once.

        Raises:
            NotPositiveDefiniteError: with the row at which the factorisation stops.
            NonFiniteError: if an entry is NaN or infinite.
        """
        V, inverse = self.cholesky().inverse()
        W = V @ inverse
        return Bordered(self.core.inverse_band() + self.core._of_outer(W, V), -W.mT, inverse)

    def _of_outer(self, w: Tensor, v: Tensor) -> Bordered:
        m = self.core.n
        head, tail = w[..., :m, :], w[..., m:, :]
        core = self.core._of_outer(head, v[..., :m, :])
        return Bordered(core, tail @ v[..., :m, :].mT, tail @ v[..., m:, :].mT)

    def _alike(self, other: Matrix) -> tuple[Bordered, Bordered] | None:
        cores = self.core._alike(other.core) if isinstance(other, Bordered) and other.p == self.p else None
        if cores is None:
            return None
        assert isinstance(other, Bordered)
        return Bordered(cores[0], self.border, self.corner), Bordered(cores[1], other.border, other.corner)

    def _block(self, first: int, end: int) -> Symmetric:
        m = self.core.n
        if first >= m:
            raise IndexError(
                f"index: expected a block that starts before the border, at row {m}; H.corner is that of it"
            )
        core = self.core if first == 0 and end >= m else self.core._block(first, min(end, m))
        if end <= m:
            return core
        p = end - m
        return Bordered(core, self.border[..., :p, first:], self.corner[..., :p, :p])

    def _pattern(self) -> tuple[Tensor, Tensor]:
        i, j = self.core._pattern()
        m, n = self.core.n, self.n
        below, before = torch.cartesian_prod(torch.arange(m, n), torch.arange(m)).to(self.device).unbind(1)
        row, column = torch.cartesian_prod(torch.arange(m, n), torch.arange(m, n)).to(self.device).unbind(1)
        return torch.cat([i, below, before, row]), torch.cat([j, before, below, column])

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


def _check_parts(core: Symmetric, border: Tensor, corner: Tensor) -> None:
    if not isinstance(core, Symmetric):
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
