"""Whether a point is where the method ends."""

from __future__ import annotations

import math

from banded.optimize.interior.iterate import Settings
from banded.optimize.interior.questions import Measure
from banded.optimize.interior.schedule import FLOOR, KAPPA_EPS
from banded.optimize.result import Status

ENOUGH, IDLE, PATIENCE = 100.0, 1e-9, 15  # errors within so many tolerances, φ the same but for so much, so many times
UNBOUNDED = 1e14  # times the size of the scaled objective at the start, by which it falls without limit


class Judge:
    """Looks at one point after the other.

    Args:
        settings: as they are.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._idle, self._phi, self._floor = 0, math.inf, -math.inf

    def begin(self, measure: Measure) -> None:
        """From a point, with nothing to compare it with."""
        self._phi, self._floor = math.inf, -UNBOUNDED * measure.size

    def status(self, measure: Measure) -> Status | None:
        """Why it ends at the next point; None where it does not."""
        error, tolerance, eps = measure.error, self._settings.tolerance, self._settings.eps
        near = error <= max(ENOUGH * tolerance, eps ** (1 / 3)) and measure.primal <= max(ENOUGH * tolerance, eps**0.5)
        still = abs(measure.phi - self._phi) <= max(IDLE, 10 * eps) * max(1.0, abs(measure.phi))
        idle = near and (error <= tolerance or still)  # multipliers without limit leave a gap that nothing closes
        self._idle, self._phi = self._idle + 1 if idle else 0, measure.phi
        near &= measure.dual <= math.sqrt(tolerance)  # whatever the multipliers
        met = error <= tolerance and near
        if met and measure.gap <= max(tolerance * measure.size, self._owed()):
            return Status.CONVERGED
        if self._idle >= PATIENCE:
            return Status.PRECISION
        if not math.isfinite(error):
            return Status.NON_FINITE
        return Status.UNBOUNDED if measure.phi < self._floor else None

    def _owed(self) -> float:
        """The least gap that the least μ leaves."""
        return KAPPA_EPS * FLOOR * self._settings.bounds
