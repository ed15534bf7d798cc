"""A matrix whose band shows only in another order of the unknowns."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from banded.checks import check_operand
from banded.errors import NonFiniteError, NotPositiveDefiniteError
from banded.factor import Factor, IndefiniteFactor, Inertia, Solver
from banded.matrix.base import Matrix
from banded.matrix.index import WHOLE
from banded.matrix.symmetric import Symmetric

Inner = TypeVar("Inner", bound=Solver)


class Reordered(Symmetric):
    """A with A[order[a], order[b]] = `inner`[a, b]: vectors and entries are in the user's order, storage is not.

    Args:
        inner: the matrix in the order that makes its band small.
        order: `(n,)` whole numbers: `order[a]` is the unknown at place a of `inner`.

    Raises:
        TypeError: if `inner` is not a matrix of this package, or `order` not a tensor of whole numbers.
        ValueError: if `order` does not hold each of 0..n - 1 once.
    """

    __slots__ = ("inner", "order", "place")

    def __init__(self, inner: Symmetric, order: Tensor) -> None:
        if not isinstance(inner, Symmetric):
            raise TypeError(f"inner: expected a matrix like SymmetricBanded(band), got {type(inner).__name__}")
        if not isinstance(order, Tensor) or order.dtype not in WHOLE:
            came = order.dtype if isinstance(order, Tensor) else type(order).__name__
            raise TypeError(f"order: expected a tensor of whole numbers, got {came}; torch.as_tensor(order) makes one")
        order = order.long()
        every = torch.arange(inner.n, device=order.device)
        if order.shape != every.shape or not torch.equal(order.sort().values, every):
            raise ValueError(
                f"order: expected each of 0..{inner.n - 1} once, got {order}; scores.argsort() is such an order"
            )
        order = order.to(inner.device)
        self._set(inner, order, order.argsort())

    @classmethod
    def trusted(cls, inner: Symmetric, order: Tensor, place: Tensor) -> Reordered:
        """One whose `order` and its inverse `place` are known to be permutations."""
        matrix = cls.__new__(cls)
        matrix._set(inner, order, place)
        return matrix

    def _set(self, inner: Symmetric, order: Tensor, place: Tensor) -> None:
        self.inner, self.order, self.place = inner, order, place

    @property
    def band(self) -> Tensor:
        """`(..., k + 1, n - p)`: the band of `inner`, in its order."""
        return self.inner.band

    @property
    def n(self) -> int:
        """Number of rows and columns."""
        return self.inner.n

    def diagonal(self) -> Tensor:
        """`(..., n)`: A[i, i]."""
        return self.inner.diagonal()[..., self.place]

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """Those of `inner`."""
        return self.inner.tensors

    def with_tensors(self, tensors: tuple[Any, ...]) -> Reordered:
        """The same structure and order with other entries, without a check."""
        device = getattr(tensors[0], "device", self.order.device)  # what pytrees put there need not be tensors
        order, place = (one if one.device == device else one.to(device) for one in (self.order, self.place))
        return Reordered.trusted(self.inner.with_tensors(tensors), order, place)

    def is_like(self, other: Matrix) -> bool:
        """Whether both have one order, and one structure in it."""
        if not isinstance(other, Reordered) or not self.inner.is_like(other.inner):
            return False
        return self.order is other.order or torch.equal(self.order, other.order)

    def cleaned(self) -> Reordered:
        """The same matrix, with zeros in the cells of its band that lie outside."""
        return Reordered.trusted(self.inner.cleaned(), self.order, self.place)

    def cholesky(self) -> ReorderedCholesky:
        """Factor A once, in the order of `inner`.

        Raises:
            NotPositiveDefiniteError: with the row, in the user's order, at which the factorisation stops.
            NonFiniteError: if an entry is NaN or infinite.
        """
        try:
            return ReorderedCholesky(self.inner.cholesky(), self)
        except NotPositiveDefiniteError as error:
            row = int(self.order[error.row])
            raise NotPositiveDefiniteError(
                f"{error}; in the user's order, this is row {row}", row=row, number=error.number
            ) from None
        except NonFiniteError as error:
            raise NonFiniteError(f"{error}; counted along the band: A[a, b] there is H[order[a], order[b]]") from None

    def ldl(self) -> ReorderedLDL:
        """Factor A = L D Lᵀ once, in the order of `inner`; rows in errors are counted along its band.

        Raises:
            NonFiniteError: if an entry is NaN or infinite.
            SingularError: if `inner` has a border or is a loop, and the core beside it is singular.
        """
        return ReorderedLDL(self.inner.ldl(), self)

    def inverse_band(self) -> Reordered:
        """The entries of A⁻¹ where A stores its own; differentiable once.

        Raises:
            NotPositiveDefiniteError: with the row, along the band, at which the factorisation stops.
            NonFiniteError: if an entry is NaN or infinite.
        """
        return Reordered.trusted(self.inner.inverse_band(), self.order, self.place)

    def _of_outer(self, w: Tensor, v: Tensor) -> Reordered:
        w, v = w[..., self.order, :], v[..., self.order, :]
        return Reordered.trusted(self.inner._of_outer(w, v), self.order, self.place)

    def _alike(self, other: Matrix) -> tuple[Reordered, Reordered] | None:
        same = isinstance(other, Reordered) and torch.equal(self.order, other.order)
        inner = self.inner._alike(other.inner) if same and isinstance(other, Reordered) else None
        if inner is None:
            return None
        a, b = (Reordered.trusted(one, self.order, self.place) for one in inner)
        return a, b

    def _block(self, first: int, end: int) -> Symmetric:
        raise IndexError(
            "index: expected entries of a reordered matrix, got a block; take one of H.inner, along its band"
        )

    def _pattern(self) -> tuple[Tensor, Tensor]:
        a, b = self.inner._pattern()
        return self.order[a], self.order[b]

    def _entries(self, i: Tensor, j: Tensor) -> Tensor:
        return self.inner._entries(self.place[i], self.place[j])

    def _times(self, x: Tensor) -> Tensor:
        return self.inner._times(x.index_select(-2, self.order)).index_select(-2, self.place)

    def _shifted(self, shift: Tensor) -> Reordered:
        return Reordered.trusted(self.inner._shifted(shift[..., self.order]), self.order, self.place)

    def _part(self, i: Tensor, j: Tensor) -> Tensor:
        return self.inner._part(self.place[i], self.place[j])

    def _widths(self) -> str:
        return f"inner={type(self.inner).__name__}, {self.inner._widths()}"


class _ReorderedSolver(Generic[Inner]):
    """A factor of `inner`, for vectors in the user's order."""

    def __init__(self, factor: Inner, matrix: Reordered) -> None:
        self._factor, self._matrix = factor, matrix

    def solve(self, b: Tensor) -> Tensor:
        """X with A x = b, differentiable; `b` `(..., n)` or `(..., n, m)`.

        Raises:
            ValueError: if `b` has another length, batch shape, dtype or device than A.
        """
        matrix = self._matrix
        check_operand("b", b, matrix.band, matrix.shape[:-1])
        row = len(matrix.batch_shape)
        return self._factor.solve(b.index_select(row, matrix.order)).index_select(row, matrix.place)


class ReorderedCholesky(_ReorderedSolver[Factor]):
    """A Cholesky factor of `inner`, for vectors in the user's order."""

    def logdet(self) -> Tensor:
        """Log det A, `(...)`; differentiable."""
        return self._factor.logdet()

    def sample(self, shape: tuple[int, ...] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Draws from N(0, A⁻¹), `(*shape, ..., n)`; without a graph."""
        return self._factor.sample(shape, generator=generator)[..., self._matrix.place]


class ReorderedLDL(_ReorderedSolver[IndefiniteFactor]):
    """An LDLᵀ factor of `inner`, for vectors in the user's order."""

    @property
    def inertia(self) -> Inertia:
        """How many eigenvalues are positive, negative and zero."""
        return self._factor.inertia

    def slogdet(self) -> tuple[Tensor, Tensor]:
        """Sign and logarithm of the absolute value of det A, `(...)` each; it has no derivative."""
        return self._factor.slogdet()
