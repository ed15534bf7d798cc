"""The symmetric banded matrix: the storage that all others build on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from banded.bands import inside_symmetric, symmetric_times
from banded.checks import check_bandwidth, check_operand, check_tensor
from banded.factor import LDL, BlockCholesky, Cholesky, solve_each
from banded.matrix.base import Matrix
from banded.matrix.convert import array, check_symmetric, check_width, entries, tensor
from banded.matrix.pattern import BAND
from banded.matrix.symmetric import OneBand

if TYPE_CHECKING:
    from scipy.sparse import dia_array


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
        bandwidth = check_bandwidth(bandwidth, matrix.shape[-1])
        diagonals = [matrix.diagonal(-d, dim1=-2, dim2=-1) for d in range(bandwidth + 1)]
        return cls(torch.stack([pad(entries, (0, d)) for d, entries in enumerate(diagonals)], -2))

    @classmethod
    def from_scipy(cls, ab: Any, *, lower: bool = True) -> SymmetricBanded:
        """From the array `(k + 1, n)` that `scipy.linalg.solveh_banded` and LAPACK's `pb` routines take.

        Args:
            ab: array or tensor; a NumPy array of float32 or float64 is shared, not copied.
            lower: whether it holds the lower triangle, `ab[i - j, j] = A[i, j]`, or the upper one,
                `ab[k + i - j, j] = A[i, j]`. (SciPy's own default is the upper one.)

        Raises:
            TypeError: if it does not hold real numbers.
            ValueError: if its shape is not `(..., k + 1, n)` with 0 <= k < n.
        """
        band = tensor("ab", ab)
        if lower or band.ndim < 2:
            return cls(band)
        rows, n = band.shape[-2:]
        return cls(torch.stack([pad(band[..., rows - 1 - d, d:], (0, min(d, n))) for d in range(rows)], -2))

    def to_scipy(self, *, lower: bool = True) -> np.ndarray:
        """The array `(..., k + 1, n)` for `scipy.linalg.solveh_banded(ab, b, lower=lower)`, zero outside the matrix."""
        band = self.cleaned().band
        if lower:
            return array(band)
        n = self.n
        return array(torch.stack([pad(band[..., d, : n - d], (d, 0)) for d in range(self.bandwidth, -1, -1)], -2))

    @classmethod
    def from_sparse(cls, matrix: Any, bandwidth: int | None = None) -> SymmetricBanded:
        """From a sparse matrix of SciPy or a sparse tensor `(n, n)`, with both triangles.

        Args:
            matrix: the matrix; repeated entries are added.
            bandwidth: k; the smallest that holds it if None.

        Raises:
            TypeError: if it is not sparse, or does not hold real numbers.
            ValueError: if it is not square and symmetric.
            BandwidthError: if it has entries outside the bandwidth.
        """
        i, j, values, (m, n) = entries(matrix)
        if m != n or n == 0:
            raise ValueError(f"matrix: expected shape (n, n), got {(m, n)}")
        check_symmetric(i, j, values, n)
        needed = int((i - j).abs().max()) if len(i) else 0
        k = needed if bandwidth is None else check_bandwidth(bandwidth, n)
        check_width("bandwidth", needed, k)
        below = i >= j
        band = values.new_zeros(k + 1, n)
        return cls(band.index_put(((i - j)[below], j[below]), values[below]))

    def to_dia(self) -> dia_array:
        """A SciPy matrix by diagonals, both triangles; of one matrix, not of a batch.

        Raises:
            ValueError: if it is a batch.
        """
        from banded.matrix.banded import Banded  # which builds on this type

        return Banded.from_symmetric(self).to_dia()

    def cleaned(self) -> Self:
        """The same matrix, with zeros in the cells of the band that lie outside."""
        inside = inside_symmetric(self._band.shape[-2], self.n, self.device)
        return self.with_tensors((torch.where(inside, self._band, 0),))

    def cholesky(self) -> Cholesky | BlockCholesky:
        """Factor A = L Lᵀ once, to solve with it often; on an accelerator as blocks, by cyclic reduction.

        Raises:
            NotPositiveDefiniteError: with the row at which the factorisation stops.
            NonFiniteError: if an entry is NaN or infinite.
        """
        if self.device.type == "cpu":
            return Cholesky(self._band)
        from banded.matrix.block_tridiagonal import BlockTridiagonal  # which builds on this type

        return BlockTridiagonal.from_banded(self).cholesky()

    def solve(self, b: Tensor) -> Tensor:
        """X with A x = b for `b` `(..., n)` or `(..., n, c)`, by Cholesky; differentiable in A and b.

        Raises:
            NotPositiveDefiniteError: with the row at which the factorisation stops.
            NonFiniteError: if an entry is NaN or infinite.
            ValueError: if `b` has another length, batch shape, dtype or device than A.
        """
        check_operand("b", b, self._band, self.shape[:-1])
        if self.batch_shape:
            vector = b.ndim == self._band.ndim - 1
            found = solve_each(self._band, b[..., None] if vector else b)
            if found is not None and bool(found[1].all()):  # factoring explains what is amiss
                return found[0][..., 0] if vector else found[0]
        return self.cholesky().solve(b)

    def solve_where_definite(self, b: Tensor) -> tuple[Tensor, Tensor]:
        """X with A x = b `(B, n)` for those of a batch of B matrices that are positive definite, and `(B,)`, which."""
        found = solve_each(self._band, b[..., None])
        return super().solve_where_definite(b) if found is None else (found[0][..., 0], found[1])

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
        if self.device.type == "cpu":
            return self.with_tensors((Cholesky(self._band).selected_inverse(),))
        from banded.matrix.block_tridiagonal import BlockTridiagonal  # as above

        band = BlockTridiagonal.from_banded(self).inverse_band().band
        return self.with_tensors((band[..., : self.bandwidth + 1, :],))

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
    check_tensor("band", band)
    assert isinstance(band, Tensor)
    if band.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"band: expected a float32 or float64 tensor, got {band.dtype}; convert it with .double()")
    if band.ndim < 2:
        raise ValueError(
            f"band: expected shape (..., k + 1, n), got {tuple(band.shape)}; band[None] is that of a diagonal matrix"
        )


def check_square(matrix: Tensor) -> None:
    """`matrix` must be a tensor `(..., n, n)`."""
    check_tensor("matrix", matrix)
    if matrix.ndim < 2 or matrix.shape[-2] != matrix.shape[-1]:
        raise ValueError(f"matrix: expected shape (..., n, n), got {tuple(matrix.shape)}")
