"""What factorisations can do."""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class Inertia(NamedTuple):
    """Numbers of positive, negative and zero eigenvalues: ints, or `(...)` tensors for a batch."""

    positive: int | Tensor
    negative: int | Tensor
    zero: int | Tensor


class Solver(Protocol):
    """A matrix A, taken apart once for many solves."""

    def solve(self, b: Tensor) -> Tensor:
        """X with A x = b, in the shape of `b`, `(..., n)` or `(..., n, m)`; differentiable in A and b."""
        ...


class Factor(Solver, Protocol):
    """A = L Lᵀ in some form."""

    def logdet(self) -> Tensor:
        """Log det A, `(...)`; differentiable."""
        ...

    def sample(self, shape: tuple[int, ...] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Draws from N(0, A⁻¹), `(*shape, ..., n)`; without a graph."""
        ...


class IndefiniteFactor(Solver, Protocol):
    """A = L D Lᵀ in some form."""

    @property
    def inertia(self) -> Inertia:
        """How many eigenvalues are positive, negative and zero."""
        ...

    def slogdet(self) -> tuple[Tensor, Tensor]:
        """Sign and logarithm of the absolute value of det A, `(...)` each."""
        ...
