"""The form in which the method sees a problem: unknowns within bounds, and equations.

The unknowns v = (x, y) are the user's x and y of its own, of which each stands in one equation with a coefficient of
1 or -1: the slacks s of inequalities g(x) - s = 0, and for restoration those that take up what is violated,
r(x) - p + q = 0. So the equations are r(x) + E y = 0, and y is eliminated row by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

KAPPA = 1e-2  # how far inside the bounds a start is, absolute and in units of their distance


@dataclass(frozen=True)
class Block:
    """Unknowns y that stand in rows `first` to `end`, each in one.

    Attributes:
        first, end: the rows.
        sign: the coefficient.
        cost: of each in the objective.
    """

    first: int
    end: int
    sign: float
    cost: float = 0.0

    @property
    def size(self) -> int:
        """How many they are."""
        return self.end - self.first


@dataclass(frozen=True, eq=False)
class Form:
    """The bounds of v = (x, y), and where y stands, for A problems.

    Attributes:
        n: unknowns x.
        m: equations.
        blocks: of y.
        lower, upper: `(A, N)`, the bounds; 0 where there is none.
        has_lower, has_upper: `(A, N)`, whether there is one.
        free: `(A, n)`: whether an unknown x may move: its bounds are not equal.
    """

    n: int
    m: int
    blocks: tuple[Block, ...]
    lower: Tensor
    upper: Tensor
    has_lower: Tensor
    has_upper: Tensor
    free: Tensor

    @classmethod
    def of(cls, lower: Tensor, upper: Tensor, m: int, equalities: int) -> Form:
        """With slacks for the rows from `equalities` on; the bounds of x are `(A, n)`."""
        count, n = lower.shape
        slacks = m - equalities
        free = lower != upper
        zeros = lower.new_zeros(count, slacks)
        has_lower = torch.cat([lower.isfinite() & free, torch.ones_like(zeros, dtype=torch.bool)], 1)
        has_upper = torch.cat([upper.isfinite() & free, torch.zeros_like(zeros, dtype=torch.bool)], 1)
        return cls(
            n,
            m,
            (Block(equalities, m, -1.0),) if slacks else (),
            torch.where(has_lower, torch.cat([lower, zeros], 1), 0),
            torch.where(has_upper, torch.cat([upper, zeros], 1), 0),
            has_lower,
            has_upper,
            free,
        )

    def elastic(self, cost: float) -> Form:
        """With p, q >= 0 in each row, that cost so much."""
        zeros = self.lower.new_zeros(len(self.lower), 2 * self.m)
        yes, no = (torch.full_like(zeros, value, dtype=torch.bool) for value in (True, False))
        return replace(
            self,
            blocks=(*self.blocks, Block(0, self.m, -1.0, cost), Block(0, self.m, 1.0, cost)),
            lower=torch.cat([self.lower, zeros], 1),
            upper=torch.cat([self.upper, zeros], 1),
            has_lower=torch.cat([self.has_lower, yes], 1),
            has_upper=torch.cat([self.has_upper, no], 1),
        )

    def relaxed(self, amount: float) -> Form:
        """With bounds farther apart, by so much of their size, or of 1, and never much of their distance."""
        width = torch.where(self.has_lower & self.has_upper, KAPPA * (self.upper - self.lower), torch.inf)
        low, high = (torch.minimum(amount * one.abs().clamp(min=1), width) for one in (self.lower, self.upper))
        return replace(
            self,
            lower=torch.where(self.has_lower, self.lower - low, 0),
            upper=torch.where(self.has_upper, self.upper + high, 0),
        )

    @property
    def size(self) -> int:
        """N, the number of unknowns v."""
        return self.lower.shape[1]

    @cached_property
    def is_bounded(self) -> bool:
        """Whether any unknown has a bound."""
        return bool(self.has_lower.any()) or bool(self.has_upper.any())

    @cached_property
    def one_sided(self) -> Tensor:
        """`(A, N)`: 1 for unknowns with a lower bound alone, -1 for those with an upper bound alone, else 0."""
        low, high = self.has_lower & ~self.has_upper, self.has_upper & ~self.has_lower
        return low.to(self.lower) - high.to(self.lower)

    @cached_property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """Bounds, whether there is one, and `free`: for compiled loops."""
        tensors = self.lower, self.upper, self.has_lower, self.has_upper, self.free
        return tuple(one.contiguous().numpy() for one in tensors)

    @cached_property
    def block_arrays(self) -> tuple[np.ndarray, ...]:
        """Of each block the first row, the end, the sign and the cost: likewise."""
        first, end = (np.array([getattr(one, name) for one in self.blocks], np.int64) for name in ("first", "end"))
        sign, cost = (np.array([getattr(one, name) for one in self.blocks], np.float64) for name in ("sign", "cost"))
        return first, end, sign, cost

    def costs(self) -> Tensor:
        """`(N - n,)`: the gradient of the objective in y."""
        return torch.cat([self.lower.new_full((block.size,), block.cost) for block in self.blocks])

    def parts(self, v: Tensor) -> Sequence[tuple[Block, Tensor]]:
        """The blocks with their part of v `(A, N)`."""
        sizes = [block.size for block in self.blocks]
        return list(zip(self.blocks, torch.split(v[:, self.n :], sizes, 1), strict=True))

    def add_rows(self, rows: Tensor, v: Tensor) -> Tensor:
        """Rows `(A, m)` plus E y."""
        for block, y in self.parts(v):
            rows = rows.clone()
            rows[:, block.first : block.end] += block.sign * y
        return rows

    def transposed(self, multipliers: Tensor) -> Tensor:
        """Eᵀ λ `(A, N - n)`."""
        parts = [block.sign * multipliers[:, block.first : block.end] for block in self.blocks]
        return torch.cat(parts, 1) if parts else multipliers[:, :0]

    def push(self, v: Tensor) -> Tensor:
        """V moved inside the bounds (Wächter & Biegler 2006, §3.6)."""
        low, high = self.lower, self.upper
        width = torch.where(self.has_lower & self.has_upper, KAPPA * (high - low), torch.inf)
        least = low + torch.minimum(KAPPA * low.abs().clamp(min=1), width)
        most = high - torch.minimum(KAPPA * high.abs().clamp(min=1), width)
        v = torch.where(self.has_lower, torch.maximum(v, least), v)
        return torch.where(self.has_upper, torch.minimum(v, most), v)

    def distances(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """`(A, N)` each: from the lower bounds and to the upper ones; 1 where there are none."""
        return torch.where(self.has_lower, v - self.lower, 1), torch.where(self.has_upper, self.upper - v, 1)
