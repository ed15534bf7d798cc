"""Which way to go: Newton's direction on the band, regularised where the band is not positive definite."""

import torch
from torch import Tensor

from banded.errors import NotPositiveDefiniteError
from banded.matrix import Symmetric

FIRST = 1e-6  # first shift tried, in units of the largest diagonal entry of H
GROWTH = 4.0  # from one trial to the next, once the size of the shift is known


class NewtonDirection:
    """p = -(H + δI)⁻¹ g, with δ = 0 where the Cholesky factorisation of H succeeds.

    Where it breaks down, δ grows until it succeeds (Nocedal & Wright 2006,
    algorithm 3.3). The last δ that was needed is remembered: the next search
    starts below it.
    """

    def __init__(self) -> None:
        self._last = 0.0

    def __call__(self, H: Symmetric, gradient: Tensor) -> tuple[Tensor, float]:
        """The direction `(n,)` and the δ that it took."""
        shift = 0.0
        while True:
            try:
                factor = (H.add_diagonal(shift) if shift else H).cholesky()
            except NotPositiveDefiniteError:
                shift = self._next(shift, H)
                continue
            if shift:
                self._last = shift
            return -factor.solve(gradient), shift

    def _next(self, shift: float, H: Symmetric) -> float:
        if self._last:
            return shift * GROWTH if shift else self._last / GROWTH
        if shift:
            return shift * 10
        largest = float(H.diagonal().abs().max())
        return FIRST * largest if largest else float(torch.finfo(H.dtype).eps)
