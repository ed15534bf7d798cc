"""The symmetric banded matrix: the storage that all others build on."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor
from torch.nn.functional import pad

from banded.bands import inside_symmetric, symmetric_times
from banded.checks import check_bandwidth
from banded.factor import LDL, Cholesky
from banded.matrix.base import Matrix
from banded.matrix.pattern import BAND
from banded.matrix.symmetric import OneBand


class SymmetricBanded(OneBand):
    """A symmetric matrix A with A[i, j] = 0 wherever |i - j| > k, stored as its lower band.

    `band[d, j] = A[j + d, j]`, the layout of `scipy.linalg.solveh_banded(..., lower=True)`
    and of LAPACK's `pb` routines with `uplo='L'`. For n = 5, k = 2::

        d = 0 | a00 a11 a22 a33 a44
        d = 1 | a10 a21 a32 a43  *
        d = 2 | a20 a31 a42  *   *

    The cells * lie outside the matrix; they are never read.

    Args:
        band: `(..., k + 1, n)` with 0 <= k < n, float32 or float64; leading dimensions are batch.

    Raises:
        TypeError: if `band` is not a float32 or float64 tensor.
        ValueError: if its shape is not `(..., k + 1, n)` with 0 <= k < n.
    """

    __slots__ = ()

    def __init__(self, band: Tensor) -> None:
        check_band(band)
        if not 1 <= band.shape[-2] <= band.shape[-1]:
            raise ValueError(
                f"band: expected shape (..., k + 1, n) with 0 <= k < n, got {tuple(band.shape)}; "
                "SymmetricBanded.from_dense(A, k) takes a full matrix"
            )
        self._band = band

    @classmethod
    def from_dense(cls, matrix: Tensor, bandwidth: int) -> SymmetricBanded:
        """Takes the lower band of `matrix` `(..., n, n)`; what lies above it or outside is not read.

        Raises:
            ValueError: if `matrix` is not square, or not 0 <= bandwidth < n.
        """
        check_square(matrix)
        check_bandwidth(bandwidth, matrix.shape[-1])
        diagonals = [matrix.diagonal(-d, dim1=-2, dim2=-1) for d in range(bandwidth + 1)]
        return cls(torch.stack([pad(entries, (0, d)) for d, entries in enumerate(diagonals)], -2))

    def cleaned(self) -> Self:
        """The same matrix, with zeros in the cells of the band that lie outside."""
        inside = inside_symmetric(self._band.shape[-2], self.n, self.device)
        return self.with_tensors((torch.where(inside, self._band, 0),))

    def cholesky(self) -> Cholesky:
        """Factor A = L Lᵀ once, to solve with it often.

        Raises:
            NotPositiveDefiniteError: with the row at which the factorisation stops.
            NonFiniteError: if an entry is NaN or infinite.
        """
        return Cholesky(self._band)

    def ldl(self) -> LDL:
        """Factor A = L D Lᵀ once, indefinite as it may be: to solve with it often, and for its inertia.

        Raises:
            NonFiniteError: if an entry is NaN or infinite.
        """
        return LDL(self._band)

    def inverse_band(self) -> Self:
        """The band of A⁻¹, from Cholesky's factor in linear time; differentiable once.

        Raises:
            NotPositiveDefiniteError: with the row at which the factorisation stops.
            NonFiniteError: if an entry is NaN or infinite.
        """
        return self.with_tensors((self.cholesky().inverse_band(),))

    def _block(self, first: int, end: int) -> SymmetricBanded:
        return SymmetricBanded(self._band[..., : min(self.bandwidth + 1, end - first), first:end])

    def _product(self, other: Matrix) -> Any:
        from banded.matrix.banded import Banded  # which builds on this type

        return Banded.from_symmetric(self)._product(other)

    def _pattern(self) -> tuple[Tensor, Tensor]:
        d, j = inside_symmetric(self._band.shape[-2], self.n, self.device).nonzero().unbind(1)
        i = j + d
        return torch.cat([i, j[d > 0]]), torch.cat([j, i[d > 0]])

    def _entries(self, i: Tensor, j: Tensor) -> Tensor:
        d = (i - j).abs()
        entries = self._band[..., d.clamp(max=self.bandwidth), torch.minimum(i, j)]
        return torch.where(d <= self.bandwidth, entries, entries.new_zeros(()))

    def _times(self, x: Tensor) -> Tensor:
        return symmetric_times(self._band, x)

    def _part(self, i: Tensor, j: Tensor) -> Tensor:
        return torch.full_like(i - j, BAND)


def check_band(band: object) -> None:
    """`band` must be a float32 or float64 tensor of at least two dimensions."""
    if not isinstance(band, Tensor) or band.dtype not in (torch.float32, torch.float64):
        came = band.dtype if isinstance(band, Tensor) else type(band).__name__
        raise TypeError(f"band: expected a float32 or float64 tensor, got {came}; convert it with .double()")
    if band.ndim < 2:
        raise ValueError(
            f"band: expected shape (..., k + 1, n), got {tuple(band.shape)}; band[None] is that of a diagonal matrix"
        )


def check_square(matrix: Tensor) -> None:
    """`matrix` must be `(..., n, n)`."""
    if matrix.ndim < 2 or matrix.shape[-2] != matrix.shape[-1]:
        raise ValueError(f"matrix: expected shape (..., n, n), got {tuple(matrix.shape)}")
