"""Which way to go: Newton's direction on the band, regularised where the band is not positive definite."""

import math

from banded.optimize.questions import Asking, Kind, Ray, ask, direction

FIRST = 1e-4  # first shift tried, in units of the largest diagonal entry of H
LEAST = 1e-300  # smallest of them
GROWTH = 4.0  # from one trial to the next, once the size of the shift is known


class NewtonDirection:
    """p = -(H + δI)⁻¹ g, with δ = 0 where the Cholesky factorisation of H succeeds.

    Where it breaks down, δ grows until it succeeds (Nocedal & Wright 2006,
    algorithm 3.3). The last δ that was needed is remembered: the next search
    starts below it.
    """

    def __init__(self) -> None:
        self._last = 0.0

    def __call__(self) -> Asking[Ray | None]:
        """The direction; None where a δ that would do is beyond all numbers."""
        shift = 0.0
        while math.isfinite(shift):
            ray = yield from direction(shift)
            if ray is not None:
                if shift:
                    self._last = shift
                return ray
            shift = yield from self._next(shift)
        return None

    def _next(self, shift: float) -> Asking[float]:
        if self._last:
            return shift * GROWTH if shift else self._last / GROWTH
        if shift:
            return shift * 10
        return (yield from first_shift())


def first_shift() -> Asking[float]:
    """A δ to begin with: small beside H, or, where that is zero, such that the step is about as long as x."""
    largest = yield from ask(Kind.LARGEST)
    if FIRST * largest > LEAST:
        return FIRST * largest
    steep, size = (yield from ask(Kind.STEEP)), (yield from ask(Kind.SIZE))
    return max(steep / max(1.0, size), LEAST)
