"""How the barrier parameter μ falls: from one barrier problem that is solved to the next, or freely, step by step."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

from banded.optimize.interior.questions import Asking, Measure

KAPPA_EPS, KAPPA_MU, THETA_MU = 10.0, 0.2, 1.5  # of the monotone rule (Wächter & Biegler 2006, eq. 7)
FLOOR = 1e-12  # of μ
TAU = 0.99  # of the way to the bounds, at least
REMEMBERED, REDUCED = 4, 0.9999  # errors, and to what share of one of them the next has to fall, for μ to be free
SHARE = 0.8  # of the mean complementarity, which μ becomes where it may not be free
MOST = 1e3  # times the mean complementarity at the start

Measured = Callable[[float], Asking[Measure]]
"""The measure of a point for a μ."""


class Monotone:
    """Fiacco and McCormick's rule: μ falls while its barrier problem is solved well enough for it (eq. 7).

    Args:
        mu: the first one.
        tolerance: of the scaled error E_0.
        bounds: how many there are.

    Attributes:
        mu: μ.
        tau: of the way to the bounds, how much a step may go.
        limits: within which each step chooses its own μ; None where it does not.
    """

    limits: tuple[float, float] | None = None

    def __init__(self, mu: float, tolerance: float, bounds: float) -> None:
        self.mu, self.tau, self._tolerance, self._bounds = mu, max(TAU, 1 - mu), tolerance, bounds

    def update(self, measure: Measure, tiny: bool, measured: Measured) -> Asking[Measure]:
        """For the step to come.

        Args:
            measure: of the point that there is.
            tiny: whether rounding errors swallowed the last step, so that its problem is solved as well as it can be.
            measured: the same for another μ.
        """
        least = self.least(measure)
        while self.mu > least and (measure.barrier_error <= KAPPA_EPS * self.mu or tiny):
            self.mu, tiny = max(least, min(KAPPA_MU * self.mu, self.mu**THETA_MU)), False
            measure = yield from measured(self.mu)
        self.tau = max(TAU, 1 - self.mu)
        return measure

    def least(self, measure: Measure) -> float:
        """Where it ends."""
        share = min(1.0, measure.size / max(1.0, self._bounds))
        return max(FLOOR, self._tolerance * share / KAPPA_EPS)


class Adaptive(Monotone):
    """Each step chooses μ, as long as the error falls; else the monotone rule, from about where complementarity is.

    Nocedal, Wächter & Waltz (2009, SIAM J. Optim. 19:1674-1693), §5: the error may rise in between, but not above all
    of the last few.
    """

    def __init__(self, mu: float, tolerance: float, bounds: float) -> None:
        super().__init__(mu, tolerance, bounds)
        self._errors: deque[float] = deque([math.inf], maxlen=REMEMBERED)
        self._most = 0.0

    def update(self, measure: Measure, tiny: bool, measured: Measured) -> Asking[Measure]:
        """As `Monotone`; where μ is free, the step tells it."""
        least = self.least(measure)
        self._most = self._most or max(least, MOST * measure.mean)
        was, free = self.limits, measure.error <= REDUCED * max(self._errors) and not tiny
        self.limits = (least, self._most) if free else None
        if free:
            self._errors.append(measure.error)
            self.tau = max(TAU, 1 - measure.error)
            return measure
        if was is None:
            return (yield from super().update(measure, tiny, measured))
        self.mu = min(max(SHARE * measure.mean, least), self._most)
        self.tau = max(TAU, 1 - self.mu)
        return (yield from measured(self.mu))


RULES: dict[str, type[Monotone]] = {"monotone": Monotone, "adaptive": Adaptive}
