"""How far to go, and which way at once: to the least value of the quadratic model within a radius.

Letters as in Moré & Sorensen (1983, SIAM J. Sci. Stat. Comput. 4:553-572): the step within Δ solves
(H + λI) p = -g for a λ >= 0 that makes the matrix positive semidefinite, with ‖p‖ = Δ unless λ = 0.
"""

import copy
import math
from numbers import Real
from typing import Self

from banded.optimize.direction import first_shift
from banded.optimize.line_search import CLOSE, Step
from banded.optimize.questions import Asking, Kind, Point, Question, Ray, ask, direction, look

NEAR = 0.1  # of Δ by which ‖p‖ may miss it
CLOSE_TO = 0.01  # of λ, between which too little and too much lie in the hard case
ENOUGH = 1e-4  # share of the promised decrease that a step must bring
POOR, GOOD = 0.25, 0.75  # shares below which Δ shrinks and above which it grows
TRIALS = 60
SMALLEST = 1e-150  # Δ
TURNS = 60  # of the search for λ


class TrustRegion:
    """Steps to the minimum of the quadratic model within a radius, which follows how well the model does.

    Conn, Gould & Toint (2000), Trust-Region Methods, algorithm 6.1.1. Each λ that is tried costs a factorisation.

    Args:
        radius: Δ at the start, in units of x; as long as the first Newton step, and at most max(1, ‖x‖∞), if None.

    Raises:
        ValueError: if `radius` is not positive.
    """

    def __init__(self, radius: float | None = None) -> None:
        if radius is not None and not isinstance(radius, Real):
            raise TypeError(f"radius: expected a number, got {radius!r}")
        if radius is not None and not 0 < radius < math.inf:
            raise ValueError(f"radius: expected a positive number, got {radius}")
        self.radius = radius
        self._forget()

    def _forget(self) -> None:
        self._radius: float | None = self.radius
        self._low = 0.0  # λ of the last step

    def anew(self) -> Self:
        """The same for another minimisation."""
        other = copy.copy(self)
        other._forget()
        return other

    def direct(self) -> Asking[Ray | None]:
        """The step within the radius; None where H is too large for any."""
        ray = yield from direction(0.0)
        if self._radius is None:
            size = yield from ask(Kind.SIZE)
            most = max(1.0, size)
            self._radius = min(most, ray.length) if ray is not None and ray.length > 0 else most
        if ray is not None and ray.length <= (1 + NEAR) * self._radius:
            self._low = 0.0
            return ray
        ray = yield from _on_the_edge(ray, self._radius, self._low)
        self._low = ray.shift if ray is not None else 0.0
        return ray

    def step(self, here: Point, ray: Ray, noise: float) -> Asking[Step]:
        """That step, or shorter ones, and the point looked at last: that where f has decreased enough.

        Args:
            here: value and gradient where the ray leaves.
            ray: the step.
            noise: rounding error of f.
        """
        assert self._radius is not None
        point, finite = here, True
        for evaluations in range(1, TRIALS + 1):
            point = yield from look(1.0)
            finite = finite and point.finite
            if point.value == -math.inf:
                return Step(0.0, None, point.value, evaluations)
            slack = noise if ray.promise <= CLOSE * noise else 0.0
            gained = here.value - point.value + slack
            share = gained / (ray.promise + slack) if point.finite else -math.inf
            if share < POOR:
                self._radius = max(POOR * min(ray.length, self._radius), SMALLEST)
            elif share > GOOD and ray.shift > 0:
                self._radius = max(2 * ray.length, self._radius)
            if share >= ENOUGH:
                return Step(1.0, point, point.value, evaluations, finite)
            shorter = yield from self.direct()
            if shorter is None or shorter.promise <= noise:
                break
            ray = shorter
        return Step(0.0, None, point.value, evaluations, finite)


def _on_the_edge(ray: Ray | None, radius: float, shift: float) -> Asking[Ray | None]:
    """The step with ‖p‖ = Δ, from the one with λ = 0, if there is one, and the last λ; None where there is no λ."""
    low, high = 0.0, math.inf  # λ is between these
    if ray is None and not shift:
        shift = yield from first_shift()
    if ray is not None:
        shift = yield from _better(ray, radius)
    for _ in range(TURNS):
        if not math.isfinite(shift):
            return None
        ray = yield from direction(shift)
        if ray is None:
            low = shift
            shift = _between(low, high)
            continue
        if abs(ray.length / radius - 1) <= NEAR:
            return ray
        if ray.length > radius:
            low = shift
        else:
            high = shift
            if high - low <= CLOSE_TO * high:  # the hard case: H + λI as good as singular, and p still too short
                ray = yield from _longer(radius)
                return ray
        shift = yield from _better(ray, radius)
        if not low < shift < high:
            shift = _between(low, high)
    if ray is None and math.isfinite(high):
        ray = yield from direction(high)
    return ray


def _better(ray: Ray, radius: float) -> Asking[float]:
    """Newton's next λ for 1/Δ - 1/‖p(λ)‖ = 0, their (3.13)."""
    dual = yield from ask(Kind.DUAL, ray.shift)
    square = ray.length * ray.length
    return ray.shift + (ray.length / radius - 1) * (square / dual) if dual > 0 else ray.shift


def _between(low: float, high: float) -> float:
    if math.isinf(high):
        return 10 * low
    return math.sqrt(low * high) if low else 0.01 * high


def _longer(radius: float) -> Asking[Ray]:
    ray: Ray = yield Question(Kind.EDGE, radius)
    return ray
