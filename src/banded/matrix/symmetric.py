"""What all the symmetric matrices with a band in them have in common."""

from __future__ import annotations

from abc import abstractmethod
from numbers import Real
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn.functional import pad

from banded.checks import check_operand, check_whole
from banded.errors import NonFiniteError, NotPositiveDefiniteError
from banded.factor import Factor, IndefiniteFactor, Inertia
from banded.matrix.base import Matrix


class Symmetric(Matrix):
    """A symmetric matrix A of n unknowns, or a batch of them, of which one triangle is stored."""

    __slots__ = ()

    @property
    @abstractmethod
    def n(self) -> int:
        """Number of rows and columns."""

    @property
    def bandwidth(self) -> int:
        """k, the half-bandwidth of the band."""
        return self.band.shape[-2] - 1

    @property
    def shape(self) -> torch.Size:
        """`(..., n, n)`."""
        return torch.Size((*self.batch_shape, self.n, self.n))

    @property
    def mT(self) -> Self:
        """The matrix itself."""
        return self

    @abstractmethod
    def diagonal(self) -> Tensor:
        """`(..., n)`: A[i, i]."""

    def add_diagonal(self, shift: float | Tensor) -> Self:
        """A + diag(shift), for a number or a vector `(..., n)`.

        Raises:
            TypeError: if `shift` is neither a number nor a tensor.
            ValueError: if it has another length, batch shape, dtype or device than A.
        """
        wanted = self.shape[:-1]
        if not isinstance(shift, Tensor | Real):
            raise TypeError(
                f"shift: expected a number or a tensor of shape {tuple(wanted)}, got {type(shift).__name__}"
            )
        if not isinstance(shift, Tensor) or shift.ndim == 0:
            return self._shifted(torch.as_tensor(shift, dtype=self.dtype, device=self.device).expand(wanted))
        if shift.shape != wanted:
            raise ValueError(
                f"shift: expected a number or shape {tuple(wanted)}, got {tuple(shift.shape)}; "
                "shift.expand(...) repeats it over a batch"
            )
        check_operand("shift", shift, self.band, wanted)
        return self._shifted(shift)

    @abstractmethod
    def _block(self, first: int, end: int) -> Symmetric:
        """Rows and columns first..end - 1."""

    @abstractmethod
    def _of_outer(self, w: Tensor, v: Tensor) -> Self:
        """The entries of w vᵀ, a symmetric matrix, where A stores its own; `w`, `v` `(..., n, c)`."""

    @abstractmethod
    def _shifted(self, shift: Tensor) -> Self:
        """A + diag(shift), for a vector `(..., n)`."""

    @abstractmethod
    def cholesky(self) -> Factor:
        """Factor A = L Lᵀ once, to solve with it often.

        Raises:
            NotPositiveDefiniteError: with the row at which the factorisation stops.
            NonFiniteError: if an entry is NaN or infinite.
        """

    @abstractmethod
    def ldl(self) -> IndefiniteFactor:
        """Factor A = L D Lᵀ once, indefinite as it may be: to solve with it often, and for its inertia.

        Raises:
            NonFiniteError: if an entry is NaN or infinite.
            SingularError: for a matrix with a border or on a loop, if the core beside it is singular.
        """

    def inertia(self) -> Inertia:
        """Numbers of positive, negative and zero eigenvalues, by `ldl`."""
        return self.ldl().inertia

    def logdet(self) -> Tensor:
        """Log det A, `(...)`, by Cholesky; differentiable.

        Raises:
            NotPositiveDefiniteError: with the row at which the factorisation stops.
            NonFiniteError: if an entry is NaN or infinite.
        """
        return self.cholesky().logdet()

    @abstractmethod
    def inverse_band(self) -> Self:
        """The entries of A⁻¹ where A stores its own, from Cholesky's factor in linear time; differentiable once.

        Where A is the precision of a Gaussian, `diagonal()` of this are its variances.

        Raises:
            NotPositiveDefiniteError: with the row at which the factorisation stops.
            NonFiniteError: if an entry is NaN or infinite.
        """

    def factor(self) -> Factor:
        """The factorisation that `solve` uses: `cholesky`."""
        return self.cholesky()

    def solve(self, b: Tensor) -> Tensor:
        """X with A x = b for `b` `(..., n)` or `(..., n, m)`, by Cholesky; differentiable in A and b.

        Raises:
            NotPositiveDefiniteError: with the row at which the factorisation stops.
            NonFiniteError: if an entry is NaN or infinite.
            ValueError: if `b` has another length, batch shape, dtype or device than A.
        """
        return self.cholesky().solve(b)

    def solve_where_definite(self, b: Tensor) -> tuple[Tensor, Tensor]:
        """X with A x = b `(B, n)` for those of a batch of B matrices that are positive definite, and `(B,)`, which.

        The others have x = 0.
        """
        try:
            return self.solve(b), torch.ones(len(b), dtype=torch.bool, device=b.device)
        except (NotPositiveDefiniteError, NonFiniteError):
            if len(b) == 1:
                return torch.zeros_like(b), torch.zeros(1, dtype=torch.bool, device=b.device)
        halves = slice(0, len(b) // 2), slice(len(b) // 2, None)
        found = [
            self.with_tensors(tuple(one[part] for one in self.tensors)).solve_where_definite(b[part]) for part in halves
        ]
        return torch.cat([x for x, _ in found]), torch.cat([definite for _, definite in found])

    def row_sums(self) -> Tensor:
        """`(..., n)`: Σ_j |A[i, j]|, the scale of each row."""
        ones = torch.ones((*self.batch_shape, self.n), dtype=self.dtype, device=self.device)
        sums: Tensor = abs(self) @ ones
        return sums

    def _widths(self) -> str:
        return f"bandwidth={self.bandwidth}"


class OneBand(Symmetric):
    """A symmetric matrix that is all in one band `(..., k + 1, n)`."""

    __slots__ = ("_band",)

    _band: Tensor

    @property
    def band(self) -> Tensor:
        """`(..., k + 1, n)`: `band[..., d, j]` is the entry d rows below the diagonal in column j."""
        return self._band

    @property
    def n(self) -> int:
        """Number of rows and columns."""
        return self._band.shape[-1]

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The band."""
        return (self._band,)

    def with_tensors(self, tensors: tuple[Any, ...]) -> Self:
        """A matrix with another band, without a check."""
        matrix = type(self).__new__(type(self))
        (matrix._band,) = tensors
        return matrix

    def diagonal(self) -> Tensor:
        """`(..., n)`: A[i, i]."""
        return self._band[..., 0, :]

    def widened(self, bandwidth: int) -> Self:
        """The same matrix with zeros stored up to a half-bandwidth that is no smaller than its own.

        Raises:
            ValueError: if it is smaller, or does not fit the matrix.
        """
        bandwidth = check_whole("bandwidth", bandwidth)
        if not self.bandwidth <= bandwidth <= self._most():
            raise ValueError(
                f"bandwidth: expected {self.bandwidth}, its own, to {self._most()}, which n = {self.n} has room for, "
                f"got {bandwidth}"
            )
        return self.with_tensors((pad(self._band, (0, 0, 0, bandwidth - self.bandwidth)),))

    def _most(self) -> int:
        """The largest half-bandwidth that there is."""
        return self.n - 1

    def _alike(self, other: Matrix) -> tuple[Self, Self] | None:
        if not isinstance(other, type(self)):
            return None
        bandwidth = max(self.bandwidth, other.bandwidth)
        return self.widened(bandwidth), other.widened(bandwidth)

    def _of_outer(self, w: Tensor, v: Tensor) -> Self:
        i = torch.arange(self.n, device=self.device)
        rows = [(w[..., (i + d) % self.n, :] * v).sum(-1) for d in range(self.bandwidth + 1)]
        return self.with_tensors((torch.stack(rows, -2),)).cleaned()

    def _shifted(self, shift: Tensor) -> Self:
        diagonal = (self._band[..., 0, :] + shift)[..., None, :]
        return self.with_tensors((torch.cat([diagonal, self._band[..., 1:, :]], -2),))
