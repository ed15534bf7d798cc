"""Points in the unknowns and the multipliers, with all that is known there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from banded.matrix import Symmetric
from banded.matrix.rows import Rows
from banded.optimize.interior.batched import taken


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

    def part(self, rows: Tensor) -> Point:
        """Some of them, until anything here changes; of what they are, only that is taken which is asked for."""
        part = object.__new__(Point)
        part.__dict__["_source"] = self, rows
        return part

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Of a part, what it has not taken yet."""
            if name not in self.__dataclass_fields__:
                raise AttributeError(name)
            whole, rows = self.__dict__["_source"]
            found = self.__dict__[name] = taken(getattr(whole, name), rows)
            return found
