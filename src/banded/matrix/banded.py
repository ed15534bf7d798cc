"""The banded matrix that need be neither symmetric nor square."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from banded.bands import both_triangles, general_times, inside_general, multiply, transpose
from banded.checks import check_tensor, check_type, check_whole
from banded.factor import LU
from banded.matrix.base import Matrix
from banded.matrix.convert import array, check_width, diagonals, entries, tensor
from banded.matrix.pattern import BAND
from banded.matrix.symmetric_banded import SymmetricBanded, check_band

if TYPE_CHECKING:
    from scipy.sparse import dia_array


class Banded(Matrix):
    """A matrix A of m rows and n columns with A[i, j] = 0 unless -upper <= i - j <= lower.

    `band[upper + i - j, j] = A[i, j]`, the layout of `scipy.linalg.solve_banded`
    and of LAPACK's `gb` routines. For m = 5, n = 6, lower = 1, upper = 2::

        upper    |  *   *  a02 a13 a24 a35
                 |  *  a01 a12 a23 a34 a45
        diagonal | a00 a11 a22 a33 a44  *
        lower    | a10 a21 a32 a43  *   *

    The cells * lie outside the matrix; they are never read.

    Args:
        band: `(..., lower + upper + 1, n)`, float32 or float64; leading dimensions are batch.
        lower: diagonals below the main one, 0 <= lower < m.
        upper: diagonals above it, 0 <= upper < n.
        rows: m; n if None.

    Raises:
        TypeError: if `band` is not a float32 or float64 tensor, or the others are not whole numbers.
        ValueError: if the shape and the widths do not fit each other.
    """

    __slots__ = ("_band", "lower", "rows", "upper")

    def __init__(self, band: Tensor, lower: int, upper: int, rows: int | None = None) -> None:
        check_band(band)
        n = band.shape[-1]
        lower, upper = check_whole("lower", lower), check_whole("upper", upper)
        m = n if rows is None else check_whole("rows", rows)
        if not (0 <= lower < m and 0 <= upper < n) or band.shape[-2] != lower + upper + 1:
            raise ValueError(
                f"band: expected shape (..., lower + upper + 1, n) with 0 <= lower < rows and 0 <= upper < n, got "
                f"{tuple(band.shape)} with lower {lower}, upper {upper}, rows {m}; "
                "Banded.from_dense(A, lower, upper) takes a full matrix"
            )
        self._band, self.lower, self.upper, self.rows = band, lower, upper, m

    @classmethod
    def from_dense(cls, matrix: Tensor, lower: int, upper: int) -> Banded:
        """Takes the diagonals -upper to lower of `matrix` `(..., m, n)`; what lies outside is not read.

        Raises:
            ValueError: if not 0 <= lower < m and 0 <= upper < n.
        """
        check_tensor("matrix", matrix)
        if matrix.ndim < 2:
            raise ValueError(f"matrix: expected shape (..., m, n), got {tuple(matrix.shape)}")
        m, n = matrix.shape[-2:]
        j = torch.arange(n, device=matrix.device)
        i = j + torch.arange(-upper, lower + 1, device=matrix.device)[:, None]
        inside = inside_general(lower, upper, m, n, matrix.device)
        return cls(torch.where(inside, matrix[..., i.clamp(0, m - 1), j], 0), lower, upper, m)

    @classmethod
    def from_symmetric(cls, matrix: SymmetricBanded) -> Banded:
        """Both triangles of a symmetric matrix."""
        check_type("matrix", matrix, SymmetricBanded)
        return cls(both_triangles(matrix.band), matrix.bandwidth, matrix.bandwidth)

    @classmethod
    def from_scipy(cls, widths: tuple[int, int], ab: Any, rows: int | None = None) -> Banded:
        """From what `scipy.linalg.solve_banded` takes: `(lower, upper)` and an array `(lower + upper + 1, n)`.

        Raises:
            TypeError: if it does not hold real numbers.
            ValueError: if the shape and the widths do not fit each other.
        """
        if not isinstance(widths, Sequence) or len(widths) != 2:
            raise TypeError(f"widths: expected a pair (lower, upper), got {type(widths).__name__}")
        return cls(tensor("ab", ab), *widths, rows)

    def to_scipy(self) -> tuple[tuple[int, int], np.ndarray]:
        """`(lower, upper)` and the array `(..., lower + upper + 1, n)`, for `scipy.linalg.solve_banded(*these, b)`."""
        return (self.lower, self.upper), array(self.cleaned().band)

    @classmethod
    def from_sparse(cls, matrix: Any, lower: int | None = None, upper: int | None = None) -> Banded:
        """From a sparse matrix of SciPy or a sparse tensor `(m, n)`.

        Args:
            matrix: the matrix; repeated entries are added.
            lower: the width below the diagonal; the smallest that holds it if None.
            upper: the width above it, likewise.

        Raises:
            TypeError: if it is not sparse, or does not hold real numbers.
            BandwidthError: if it has entries outside the widths.
        """
        i, j, values, (m, n) = entries(matrix)
        below, above = (max(0, int(one.max())) if len(one) else 0 for one in (i - j, j - i))
        low, up = below if lower is None else lower, above if upper is None else upper
        check_width("lower", below, low)
        check_width("upper", above, up)
        return cls(values.new_zeros(low + up + 1, n).index_put((up + i - j, j), values), low, up, m)

    def to_dia(self) -> dia_array:
        """A SciPy matrix by diagonals; of one matrix, not of a batch.

        Raises:
            ValueError: if it is a batch.
        """
        if self.batch_shape:
            raise ValueError(
                f"expected one matrix, got a batch of shape {tuple(self.batch_shape)}; convert them one by one"
            )
        return diagonals(self.cleaned().band, self.upper, (self.rows, self.shape[-1]))

    @property
    def band(self) -> Tensor:
        """`(..., lower + upper + 1, n)`: `band[..., upper + i - j, j] = A[..., i, j]`."""
        return self._band

    @property
    def shape(self) -> torch.Size:
        """`(..., m, n)`."""
        return torch.Size((*self.batch_shape, self.rows, self._band.shape[-1]))

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The band."""
        return (self._band,)

    def with_tensors(self, tensors: tuple[Any, ...]) -> Self:
        """The same structure with another band, without a check."""
        return self._of(tensors[0], self.lower, self.upper, self.rows)

    def is_like(self, other: Matrix) -> bool:
        """Whether both have the same widths and number of rows."""
        mine = (self.lower, self.upper, self.rows)
        return isinstance(other, Banded) and mine == (other.lower, other.upper, other.rows)

    @classmethod
    def _of(cls, band: Any, lower: int, upper: int, rows: int) -> Self:
        matrix = cls.__new__(cls)
        matrix._band, matrix.lower, matrix.upper, matrix.rows = band, lower, upper, rows
        return matrix

    @property
    def mT(self) -> Banded:
        """The transpose."""
        return self._of(transpose(self._band, self.upper, self.rows), self.upper, self.lower, self._band.shape[-1])

    def diagonal(self) -> Tensor:
        """`(..., min(m, n))`: A[i, i]."""
        return self._band[..., self.upper, : min(self.shape[-2:])]

    def cleaned(self) -> Self:
        """The same matrix, with zeros in the cells of the band that lie outside."""
        inside = inside_general(self.lower, self.upper, self.rows, self._band.shape[-1], self.device)
        return self.with_tensors((torch.where(inside, self._band, 0),))

    def congruence(self, weights: Tensor | SymmetricBanded | None = None) -> SymmetricBanded:
        """Aᵀ D A, of half-bandwidth lower + upper and that of D.

        Args:
            weights: D: the diagonal `(..., m)`, a banded matrix, or the identity if None.

        Raises:
            ValueError: if D has another size, batch shape, dtype or device than A asks for.
        """
        if weights is None:
            right: Banded = self
        elif isinstance(weights, Tensor):
            right = self._weighted(weights)
        else:
            check_type("weights", weights, SymmetricBanded)
            right = weights @ self
        n = self.shape[-1]
        k = min(right.lower + self.upper, n - 1)
        left = self.mT.cleaned()
        band = multiply(left.band, left.upper, right.cleaned().band, right.upper, k, 0)
        return SymmetricBanded(band)

    def _weighted(self, weights: Tensor) -> Banded:
        m, n = self.shape[-2:]
        wanted = (*self.batch_shape, m)
        if weights.shape != wanted or (weights.dtype, weights.device) != (self.dtype, self.device):
            raise ValueError(
                f"weights: expected shape {wanted}, {self.dtype} on {self.device}, got {tuple(weights.shape)}, "
                f"{weights.dtype} on {weights.device}"
            )
        around = pad(weights, (self.upper, max(0, n + self.lower - m)))
        of_cells = torch.stack([around[..., row : row + n] for row in range(self.lower + self.upper + 1)], -2)
        return self.with_tensors((self._band * of_cells,))

    def lu(self) -> LU:
        """Factor P A = L U once, to solve with it often.

        Raises:
            ValueError: if A is not square.
            NonFiniteError: if an entry is NaN or infinite.
            SingularError: if a pivot is zero.
        """
        m, n = self.shape[-2:]
        if m != n:
            raise ValueError(
                f"expected a square matrix, got shape {tuple(self.shape)}; A.congruence().solve(A.mT @ b) "
                "solves the normal equations of one with full column rank"
            )
        return LU(self._band, self.lower, self.upper)

    def factor(self) -> LU:
        """The factorisation that `solve` uses: `lu`."""
        return self.lu()

    def solve(self, b: Tensor) -> Tensor:
        """X with A x = b for `b` `(..., n)` or `(..., n, c)`, by LU; differentiable in A and b.

        Raises:
            ValueError: if A is not square, or `b` has another length, batch shape, dtype or device than A.
            NonFiniteError: if an entry is NaN or infinite.
            SingularError: if a pivot is zero.
        """
        return self.lu().solve(b)

    def widened(self, lower: int, upper: int) -> Banded:
        """The same matrix with zeros stored up to widths that are no smaller than its own.

        Raises:
            ValueError: if one is smaller, or does not fit the matrix.
        """
        lower, upper = check_whole("lower", lower), check_whole("upper", upper)
        if not (self.lower <= lower < self.rows and self.upper <= upper < self.shape[-1]):
            raise ValueError(
                f"expected widths from its own, lower {self.lower} and upper {self.upper}, to those of a full matrix, "
                f"got {lower} and {upper}"
            )
        return self._of(pad(self._band, (0, 0, upper - self.upper, lower - self.lower)), lower, upper, self.rows)

    def _alike(self, other: Matrix) -> tuple[Any, Any] | None:
        if isinstance(other, SymmetricBanded):
            other = Banded.from_symmetric(other)
        if not isinstance(other, Banded):
            return None
        widths = max(self.lower, other.lower), max(self.upper, other.upper)
        return self.widened(*widths), other.widened(*widths)

    def __radd__(self, other: Any) -> Any:
        """A symmetric banded matrix plus A."""
        return self + other if isinstance(other, SymmetricBanded) else NotImplemented

    def __rsub__(self, other: Any) -> Any:
        """A symmetric banded matrix minus A."""
        return -self + other if isinstance(other, SymmetricBanded) else NotImplemented

    def _product(self, other: Matrix) -> Any:
        if isinstance(other, SymmetricBanded):
            other = Banded.from_symmetric(other)
        if not isinstance(other, Banded):
            return NotImplemented
        (m, p), (q, n) = self.shape[-2:], other.shape[-2:]
        if p != q or (self.batch_shape, self.dtype, self.device) != (other.batch_shape, other.dtype, other.device):
            raise ValueError(
                f"expected a matrix {(*self.batch_shape, p, 'c')} of {self.dtype} on {self.device}, got one of shape "
                f"{tuple(other.shape)}, {other.dtype} on {other.device}"
            )
        lower, upper = min(self.lower + other.lower, m - 1), min(self.upper + other.upper, n - 1)
        band = multiply(self.cleaned().band, self.upper, other.cleaned().band, other.upper, lower, upper)
        return self._of(band, lower, upper, m)

    def _block(self, first: int, end: int) -> Banded:
        lower, upper = (min(width, end - first - 1) for width in (self.lower, self.upper))
        rows = slice(self.upper - upper, self.upper + lower + 1)
        return self._of(self._band[..., rows, first:end], lower, upper, end - first)

    def _entries(self, i: Tensor, j: Tensor) -> Tensor:
        row = self.upper + i - j
        last = self._band.shape[-2] - 1
        return torch.where((row >= 0) & (row <= last), self._band[..., row.clamp(0, last), j], 0)

    def _pattern(self) -> tuple[Tensor, Tensor]:
        inside = inside_general(self.lower, self.upper, self.rows, self._band.shape[-1], self.device)
        row, j = inside.nonzero().unbind(1)
        return row + j - self.upper, j

    def _times(self, x: Tensor) -> Tensor:
        return general_times(self._band, self.upper, self.rows, x)

    def _part(self, i: Tensor, j: Tensor) -> Tensor:
        return torch.full_like(i - j, BAND)

    def _widths(self) -> str:
        return f"lower={self.lower}, upper={self.upper}"

    def _size(self) -> str:
        m, n = self.shape[-2:]
        return f"m={m}, n={n}"
