"""The banded matrix types: storage drawn once, algebra on it."""

import torch
from torch import Tensor

from banded.checks import check_bandwidth
from banded.factor import Cholesky, check_operand


class SymmetricBanded:
    """A symmetric matrix A with A[i, j] = 0 wherever |i - j| > k, stored as its lower band.

    `band[d, j] = A[j + d, j]`, the layout of `scipy.linalg.solveh_banded(..., lower=True)`
    and of LAPACK's `pb` routines with `uplo='L'`. For n = 5, k = 2::

        d = 0 | a00 a11 a22 a33 a44
        d = 1 | a10 a21 a32 a43  *
        d = 2 | a20 a31 a42  *   *

    The cells * lie outside the matrix; they are never read.

    Args:
        band: `(k + 1, n)` with 0 <= k < n, float32 or float64.

    Raises:
        TypeError: if `band` is not a float32 or float64 tensor.
        ValueError: if its shape is not `(k + 1, n)` with 0 <= k < n.
    """

    __slots__ = ("band",)

    def __init__(self, band: Tensor) -> None:
        if not isinstance(band, Tensor) or band.dtype not in (torch.float32, torch.float64):
            came = band.dtype if isinstance(band, Tensor) else type(band).__name__
            raise TypeError(f"band: expected a float32 or float64 tensor, got {came}; convert it with .double()")
        if band.ndim != 2 or not 1 <= band.shape[0] <= band.shape[1]:
            raise ValueError(
                f"band: expected shape (k + 1, n) with 0 <= k < n, got {tuple(band.shape)}; "
                "SymmetricBanded.from_dense(A, k) takes a full matrix"
            )
        self.band = band

    @classmethod
    def from_dense(cls, matrix: Tensor, bandwidth: int) -> "SymmetricBanded":
        """Takes the lower band of `matrix` `(n, n)`; what lies above it or outside is not read."""
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
            raise ValueError(f"matrix: expected shape (n, n), got {tuple(matrix.shape)}")
        check_bandwidth(bandwidth, len(matrix))
        diagonals = [torch.nn.functional.pad(matrix.diagonal(-d), (0, d)) for d in range(bandwidth + 1)]
        return cls(torch.stack(diagonals))

    @property
    def bandwidth(self) -> int:
        """k: A[i, j] = 0 wherever |i - j| > k."""
        return self.band.shape[0] - 1

    @property
    def n(self) -> int:
        """Number of rows and columns."""
        return self.band.shape[1]

    @property
    def shape(self) -> torch.Size:
        """`(n, n)`."""
        return torch.Size((self.n, self.n))

    @property
    def dtype(self) -> torch.dtype:
        """Of the entries."""
        return self.band.dtype

    @property
    def device(self) -> torch.device:
        """Of the entries."""
        return self.band.device

    def __repr__(self) -> str:
        dtype = str(self.dtype).removeprefix("torch.")
        return f"SymmetricBanded(n={self.n}, bandwidth={self.bandwidth}, dtype={dtype}, device='{self.device}')"

    def diagonal(self) -> Tensor:
        """`(n,)`: A[i, i]."""
        return self.band[0]

    def to_dense(self) -> Tensor:
        """`(n, n)`, both triangles."""
        dense = torch.diag(self.band[0])
        for d in range(1, self.bandwidth + 1):
            entries = self.band[d, : self.n - d]
            dense = dense + torch.diag(entries, d) + torch.diag(entries, -d)
        return dense

    def __matmul__(self, x: Tensor) -> Tensor:
        """A x for `x` `(n,)` or `(n, m)`, in the shape of `x`."""
        check_operand("x", x, self.band)
        band = self.band if x.ndim == 1 else self.band[..., None]
        y = band[0] * x
        for d in range(1, self.bandwidth + 1):
            entries, m = band[d, : self.n - d], self.n - d
            y[d:] += entries * x[:m]
            y[:m] += entries * x[d:]
        return y

    def add_diagonal(self, shift: float | Tensor) -> "SymmetricBanded":
        """A + diag(shift), for a number or a vector `(n,)`."""
        if isinstance(shift, Tensor) and shift.shape != ():
            if shift.shape != (self.n,):
                raise ValueError(f"shift: expected a number or shape ({self.n},), got {tuple(shift.shape)}")
            check_operand("shift", shift, self.band)
        return SymmetricBanded(torch.cat([(self.band[0] + shift)[None], self.band[1:]]))

    def cholesky(self) -> Cholesky:
        """Factor A = L Lᵀ once, to solve with it often.

        Raises:
            NotPositiveDefiniteError: with the row at which the factorisation stops.
        """
        return Cholesky(self.band)

    def solve(self, b: Tensor) -> Tensor:
        """X with A x = b, for `b` `(n,)` or `(n, m)`, by Cholesky; differentiable in A and b.

        Raises:
            NotPositiveDefiniteError: with the row at which the factorisation stops.
        """
        return self.cholesky().solve(b)
