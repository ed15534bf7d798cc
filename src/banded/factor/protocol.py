"""What every factorisation can do."""

from typing import Protocol

from torch import Tensor


class Factor(Protocol):
    """A = L Lᵀ in some form, computed once for many solves."""

    def solve(self, b: Tensor) -> Tensor:
        """X with A x = b, in the shape of `b`, `(..., n)` or `(..., n, m)`; differentiable in A and b."""
        ...

    def logdet(self) -> Tensor:
        """Log det A, `(...)`."""
        ...
