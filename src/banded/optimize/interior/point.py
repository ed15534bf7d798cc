"""Points in the unknowns and the multipliers, with all that is known there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from banded.matrix import Symmetric
from banded.matrix.rows import Rows


class Move(NamedTuple):
    """A step: of v `(A, N)`, of λ `(A, m)`, and of both z `(A, N)`."""

    v: Tensor
    multipliers: Tensor
    lower: Tensor
    upper: Tensor


class Arrays(NamedTuple):
    """Parts of a point."""

    v: np.ndarray
    multipliers: np.ndarray
    value: np.ndarray
    rows: np.ndarray
    slope: np.ndarray
    gradient: np.ndarray
    z: tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class Point:
    """Of A problems, in the scaled form.

    Attributes:
        v: `(A, N)`: unknowns x and y.
        multipliers: λ `(A, m)`.
        lower, upper: z of the bounds, `(A, N)`; 0 where there is none.
        value: f `(A,)`, scaled.
        rows: r(x) + E y `(A, m)`, scaled.
        slope: the gradient of f, `(A, N)`.
        gradient: ∇f + Jᵀλ + Eᵀλ, `(A, N)`.
        finite: `(A,)`: whether all derivatives are.
        J: the Jacobian of r, scaled, its columns of fixed unknowns empty.
        H: the Hessian of the Lagrangian, its rows and columns of fixed unknowns empty.
    """

    v: Tensor
    multipliers: Tensor
    lower: Tensor
    upper: Tensor
    value: Tensor
    rows: Tensor
    slope: Tensor
    gradient: Tensor
    finite: Tensor
    J: Rows
    H: Symmetric

    @cached_property
    def arrays(self) -> Arrays:
        """Itself on a CPU, for compiled loops, without copies."""
        vectors = self.v, self.multipliers, self.value, self.rows, self.slope, self.gradient, self.lower, self.upper
        v, multipliers, value, rows, slope, gradient, lower, upper = (one.contiguous().numpy() for one in vectors)
        return Arrays(v, multipliers, value, rows, slope, gradient, (lower, upper))

    def unseen(self, among: Tensor) -> Tensor:
        """`(A, n)`: which of these unknowns neither J nor H knows of, so that nothing holds them."""
        columns = self.J.with_values(self.J.values.abs()).transposed_times(torch.ones_like(self.rows))
        found = among & (columns == 0)
        return found & (self.H.row_sums() == 0) if bool(found.any()) else found

    def take(self, rows: Tensor) -> Point:
        """Some of them."""
        return self._each(lambda one: one[rows])

    def put(self, rows: Tensor, other: Point) -> Point:
        """All of them, some replaced."""
        mine, others = self._tensors(), iter(other._tensors())
        made = iter([one.index_copy(0, rows, next(others)) for one in mine])
        return self._each(lambda _: next(made))

    def _tensors(self) -> list[Tensor]:
        found: list[Tensor] = []
        for field in fields(self):
            one = getattr(self, field.name)
            found += [one.values] if isinstance(one, Rows) else one.tensors if isinstance(one, Symmetric) else [one]
        return found

    def _each(self, change: Callable[[Tensor], Tensor]) -> Point:
        made: dict[str, Any] = {}
        for field in fields(self):
            one = getattr(self, field.name)
            if isinstance(one, Rows):
                made[field.name] = one.with_values(change(one.values))
            elif isinstance(one, Symmetric):
                made[field.name] = one.with_tensors(tuple(change(part) for part in one.tensors))
            else:
                made[field.name] = change(one)
        return Point(**made)
