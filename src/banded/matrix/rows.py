"""Matrices of few entries in each row, such as Jacobians of constraints, and what they add to a symmetric band."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from banded.errors import BandwidthError
from banded.matrix.bordered import Bordered
from banded.matrix.periodic import Periodic
from banded.matrix.reordered import Reordered
from banded.matrix.symmetric import Symmetric
from banded.matrix.symmetric_banded import SymmetricBanded


@dataclass(frozen=True, eq=False)
class Rows:
    """A matrix A of m rows and n columns, with at most w entries in a row, or a batch of such with entries alike.

    `values[..., i, t] = A[i, columns[i, t]]`. Rows with fewer entries repeat their last column, with zeros for values::

        columns    values          A of n = 4
        0  1       a00 a01         a00 a01  .   .
        1  3       a11 a13          .  a11  .  a13
        2  2       a22  0           .   .  a22  .

    Attributes:
        columns: `(m, w)`, whole numbers.
        values: `(..., m, w)`.
        n: number of columns.
    """

    columns: Tensor
    values: Tensor
    n: int

    @property
    def m(self) -> int:
        """Number of rows."""
        return self.columns.shape[0]

    def with_values(self, values: Tensor) -> Rows:
        """The same structure with other entries."""
        return Rows(self.columns, values, self.n)

    def to_dense(self) -> Tensor:
        """`(..., m, n)`."""
        dense = self.values.new_zeros(*self.values.shape[:-1], self.n)
        return dense.scatter_add_(-1, self.columns.expand_as(self.values), self.values)

    def __matmul__(self, x: Tensor) -> Tensor:
        """A x `(..., m)`, for `x` `(..., n)`."""
        if self.values.device.type != "cpu" or not self.m:
            return (self.values * x[..., self.columns]).sum(-1)
        from banded.matrix import row_kernels  # numba takes half a second to load

        out = self.values.new_zeros(self.values.shape[:-1])
        row_kernels.times(*self._arrays(), _flat(x), _flat(out))
        return out

    def transposed_times(self, u: Tensor) -> Tensor:
        """Aᵀ u `(..., n)`, for `u` `(..., m)`."""
        out = self.values.new_zeros(*self.values.shape[:-2], self.n)
        if not self.m:
            return out
        if self.values.device.type != "cpu":
            return _put(out, self.columns.reshape(-1), (self.values * u[..., None]).flatten(-2))
        from banded.matrix import row_kernels  # as above

        row_kernels.transposed_times(*self._arrays(), _flat(u), _flat(out))
        return out

    def sizes(self) -> Tensor:
        """`(..., m)`: Σ_j A[i, j]², the squared length of each row."""
        squares: Tensor = torch.linalg.vecdot(self.values, self.values)
        return squares

    def _arrays(self) -> tuple[np.ndarray, np.ndarray]:
        values = self.values.contiguous().numpy()
        flat: np.ndarray = values.reshape(-1, *values.shape[-2:])
        return self.columns.numpy(), flat


class Congruence:
    """Aᵀ D A in the storage of a symmetric matrix, for `Rows` of one structure.

    Args:
        columns: of the rows, `(m, w)`.
        like: one matrix that has room for the entries of Aᵀ D A.

    Attributes:
        places: `(m, w)`: the columns along the chain.
        order, place: `(n,)`: the unknown at each place, and the place of each; None where both agree.
        is_one_band: whether all is in one band.

    Raises:
        BandwidthError: if it has not.
    """

    def __init__(self, columns: Tensor, like: Symmetric) -> None:
        inner = like.inner if isinstance(like, Reordered) else like
        core = inner.core if isinstance(inner, Bordered) else inner
        self.order: Tensor | None = None
        self.place: Tensor | None = None
        if isinstance(like, Reordered):
            self.order, self.place = like.order, like.place
        self.places = (columns if self.place is None else self.place[columns]).contiguous()
        self.is_one_band = isinstance(inner, SymmetricBanded)
        self._periodic = isinstance(core, Periodic)
        self._shapes = [one.shape for one in like.tensors]
        self._core, self._bandwidth = core.n, core.bandwidth
        self._check()

    @cached_property
    def lengths(self) -> np.ndarray:
        """`(m,)`: how many entries of each row there are, but for repetitions of the last."""
        same = self.places == self.places[:, -1:]
        last = same.to(torch.int8).flip(1).cummin(1).values.sum(1)
        found: np.ndarray = (self.places.shape[1] - last + 1).numpy()
        return found

    def _check(self) -> None:
        widest = self._widest()
        if widest > self._bandwidth:
            raise BandwidthError(
                f"expected rows of unknowns at most {self._bandwidth} apart, got one that spans {widest}",
                leak=float("inf"),
                bandwidth=self._bandwidth,
                needed=widest,
            )

    def _widest(self) -> int:
        """How far apart along the chain unknowns of one row are at most."""
        inside = self.places < self._core
        if not bool(inside.any()):
            return 0
        if not self._periodic:
            first = torch.where(inside, self.places, self._core).amin(1)
            last = torch.where(inside, self.places, -1).amax(1)
            return int((last - first).clamp(min=0).max())
        apart = (self.places[:, :, None] - self.places[:, None, :]).abs()
        apart = torch.minimum(apart, self._core - apart)
        return int(torch.where(inside[:, :, None] & inside[:, None, :], apart, 0).max())

    def __call__(self, values: Tensor, weights: Tensor) -> tuple[Tensor, ...]:
        """The matrix's tensors `(*batch, ...)`, for entries `(*batch, m, w)` and the diagonal of D `(*batch, m)`."""
        batch = values.shape[:-2]
        tensors = tuple(values.new_zeros(*batch, *shape) for shape in self._shapes)
        if values.device.type != "cpu":
            return self._scattered(values, weights, tensors)
        from banded.matrix import row_kernels  # as above

        whole = values.contiguous().numpy()
        arrays = [one.numpy().reshape(-1, *one.shape[-2:]) for one in tensors]
        if len(arrays) == 1:
            arrays += [np.zeros((len(arrays[0]), 0, 0), whole.dtype)] * 2
        row_kernels.congruence(
            self.places.numpy(), whole.reshape(-1, *whole.shape[-2:]), _flat(weights), *arrays, self._periodic
        )
        return tensors

    def _scattered(self, values: Tensor, weights: Tensor, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        width = self.places.shape[1]
        row = self.places[:, :, None].expand(-1, -1, width)
        column = self.places[:, None, :].expand(-1, width, -1)
        pairs = (weights[..., None] * values)[..., :, None] * values[..., None, :]
        c = self._core
        d = (row - column) % c if self._periodic else row - column
        inside = (row < c) & (column < c) & (d >= 0) & (d <= self._bandwidth)
        picked = [(inside, d * c + column)]
        if len(tensors) > 1:
            p = tensors[1].shape[-2]
            picked.append(((row >= c) & (column < c), (row - c) * c + column))
            picked.append(((row >= c) & (column >= c), (row - c) * p + column - c))
        return tuple(
            _put(one.flatten(-2), where[which], pairs[..., which]).reshape(one.shape)
            for one, (which, where) in zip(tensors, picked, strict=True)
        )


def _flat(x: Tensor) -> np.ndarray:
    """A batch of vectors `(..., n)` as an array `(B, n)`."""
    array: np.ndarray = x.contiguous().numpy().reshape(-1, x.shape[-1])
    return array


def _put(out: Tensor, where: Tensor, what: Tensor) -> Tensor:
    """Add to entries of the last dimension: in an order that does not change from run to run."""
    return out.movedim(-1, 0).index_put((where,), what.movedim(-1, 0), accumulate=True).movedim(0, -1)
