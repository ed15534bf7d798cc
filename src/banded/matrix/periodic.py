"""The symmetric banded matrix of a chain that closes on itself."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from banded.checks import check_bandwidth
from banded.factor import LDL, BorderedCholesky, BorderedLDL, Cholesky, Factor
from banded.matrix.bordered import Bordered
from banded.matrix.pattern import BAND, CORNERS
from banded.matrix.symmetric import OneBand, Symmetric
from banded.matrix.symmetric_banded import SymmetricBanded, check_band, check_square


class Periodic(OneBand):
    """A symmetric matrix A whose band of half-bandwidth k wraps round: a band plus two corners.

    `band[d, j] = A[(j + d) mod n, j]`: the storage of `SymmetricBanded`, whose
    unused cells here hold the corners. For n = 5, k = 2::

        d = 0 | a00 a11 a22 a33 a44
        d = 1 | a10 a21 a32 a43 a04
        d = 2 | a20 a31 a42 a03 a14

    Args:
        band: `(..., k + 1, n)` with 2k < n, float32 or float64; leading dimensions are batch.

    Raises:
        TypeError: if `band` is not a float32 or float64 tensor.
        ValueError: if its shape is not `(..., k + 1, n)` with 2k < n.
    """

    __slots__ = ()

    def __init__(self, band: Tensor) -> None:
        check_band(band)
        if not 1 <= 2 * band.shape[-2] - 1 <= band.shape[-1]:
            raise ValueError(
                f"band: expected shape (..., k + 1, n) with 0 <= 2k < n, got {tuple(band.shape)}; "
                "a shorter loop is a full matrix"
            )
        self._band = band

    @classmethod
    def from_dense(cls, matrix: Tensor, bandwidth: int) -> Periodic:
        """Takes the lower band of `matrix` `(..., n, n)` and the upper right corner that continues it.

        Raises:
            ValueError: if `matrix` is not square, or not 0 <= 2 bandwidth < n.
        """
        check_square(matrix)
        n = matrix.shape[-1]
        bandwidth = check_bandwidth(bandwidth, n)
        column = torch.arange(n, device=matrix.device)
        row = column + torch.arange(bandwidth + 1, device=matrix.device)[:, None]
        return cls(matrix[..., row % n, column])

    def cleaned(self) -> Self:
        """The matrix itself: every cell of its band is an entry."""
        return self

    def _most(self) -> int:
        return (self.n - 1) // 2

    def cut(self) -> tuple[SymmetricBanded, Tensor, Tensor]:
        """The loop cut open at its last k >= 1 unknowns.

        Returns:
            The core, of the first n - k unknowns; their coupling to the others
            `(..., k, n - k)`; and the block of those `(..., k, k)`.
        """
        m = self.n - self.bandwidth
        last = torch.arange(m, self.n, device=self.device)[:, None]
        border = self._entries(last, torch.arange(m, device=self.device))
        return SymmetricBanded(self._band[..., :m]), border, self._entries(last, last.mT)

    def cholesky(self) -> Factor:
        """Factor A once, by cutting the loop open.

        Raises:
            NotPositiveDefiniteError: with the row at which the factorisation stops.
            NonFiniteError: if an entry is NaN or infinite.
        """
        if self.bandwidth == 0:
            return Cholesky(self._band)
        core, border, corner = self.cut()
        return BorderedCholesky(core.cholesky(), border, corner)

    def ldl(self) -> LDL | BorderedLDL:
        """Factor A = L D Lᵀ once, by cutting the loop open.

        Raises:
            NonFiniteError: if an entry is NaN or infinite.
            SingularError: if the matrix of the first n - k unknowns is singular.
        """
        if self.bandwidth == 0:
            return LDL(self._band)
        core, border, corner = self.cut()
        return BorderedLDL(core.ldl(), border, corner)

    def inverse_band(self) -> Self:
        """The entries of A⁻¹ on the band and in its corners; differentiable once.

        Raises:
            NotPositiveDefiniteError: with the row at which the factorisation stops.
            NonFiniteError: if an entry is NaN or infinite.
        """
        if self.bandwidth == 0:
            return self.with_tensors((Cholesky(self._band).selected_inverse(),))
        core, border, corner = self.cut()
        whole = Bordered(core, border, corner).inverse_band()
        j = torch.arange(self.n, device=self.device)
        i = (j + torch.arange(self.bandwidth + 1, device=self.device)[:, None]) % self.n
        return self.with_tensors((whole._entries(i, j),))

    def _block(self, first: int, end: int) -> Symmetric:
        n, size = self.n, end - first
        if size == n:
            return self
        if size > n - self.bandwidth:
            raise IndexError(
                f"index: expected a block of at most n - k = {n - self.bandwidth} rows, which is a band, got {size}, "
                "whose corners are not zero; H.to_dense()[...] takes any other"
            )
        return SymmetricBanded(self._band[..., : min(self.bandwidth + 1, size), first:end])

    def _pattern(self) -> tuple[Tensor, Tensor]:
        d, j = torch.ones(self._band.shape[-2:], dtype=torch.bool, device=self.device).nonzero().unbind(1)
        i = (j + d) % self.n
        return torch.cat([i, j[d > 0]]), torch.cat([j, i[d > 0]])

    def _entries(self, i: Tensor, j: Tensor) -> Tensor:
        d = (i - j) % self.n
        upper = d > self.n // 2
        d = torch.where(upper, self.n - d, d)
        entries = self._band[..., d.clamp(max=self.bandwidth), torch.where(upper, i, j)]
        return torch.where(d <= self.bandwidth, entries, entries.new_zeros(()))

    def _times(self, x: Tensor) -> Tensor:
        y = self._band[..., 0, :, None] * x
        for d in range(1, self.bandwidth + 1):
            entries = self._band[..., d, :, None]
            y = y + (entries * x).roll(d, -2) + entries * x.roll(-d, -2)
        return y

    def _part(self, i: Tensor, j: Tensor) -> Tensor:
        return torch.where((i - j).abs() <= self.bandwidth, BAND, CORNERS)
