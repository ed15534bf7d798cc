"""Iterative refinement: digits that a factorisation lost, won back by residuals."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from banded.factor.derivatives import refuse_transforms
from banded.factor.protocol import Solver


class Refined(NamedTuple):
    """A solution with what it leaves.

    Attributes:
        x: the solution, in the shape of b.
        residual: b - A x for that x.
        steps: refinements that made the residual smaller.
    """

    x: Tensor
    residual: Tensor
    steps: int


def refine(times: Callable[[Tensor], Tensor], solver: Solver, b: Tensor, steps: int) -> Refined:
    """Solve A x = b with a factor of A, or of a matrix near A, and repeat with the residual.

    x ← x + solve(b - A x) (Higham 2002, Accuracy and Stability of Numerical Algorithms, §12.1), while that halves
    the largest residual.

    Args:
        times: x ↦ A x.
        solver: the factor.
        b: right-hand side or sides.
        steps: refinements at most.
    """
    refuse_transforms("solve_refined", b)
    x = solver.solve(b)
    residual = b - times(x)
    for done in range(steps):
        if _largest(residual) == 0:
            return Refined(x, residual, done)
        better = x + solver.solve(residual)
        left = b - times(better)
        if not _largest(left) <= _largest(residual) / 2:
            return Refined(x, residual, done)
        x, residual = better, left
    return Refined(x, residual, steps)


def _largest(residual: Tensor) -> float:
    return float(residual.detach().abs().max()) if residual.numel() else float("nan")
