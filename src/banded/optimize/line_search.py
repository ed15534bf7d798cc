"""How far to go along a direction: until f has decreased enough."""

import copy
import math
from collections import deque
from typing import NamedTuple, Self

from banded.checks import check_whole
from banded.optimize.direction import NewtonDirection
from banded.optimize.questions import Asking, Point, Ray, look, value_at

ARMIJO = 1e-4  # share of the promised decrease that is demanded
WOLFE = 0.9  # share of the slope that may be left
TRIALS = 60
ENOUGH = 20  # evaluations, after which a slope that will not fall is let be: a kink
LONGEST = 1e10  # times the direction
EDGE = 0.1  # share of its length that a step keeps which leads to where f is not finite
CLOSE = 1e3  # times its rounding error: a decrease that f hardly shows


class Step(NamedTuple):
    """A step and the point that it leads to, or None; the last value, and whether all that were tried are finite."""

    length: float
    point: Point | None
    value: float
    evaluations: int
    finite: bool = True


class LineSearch:
    """Newton's direction, regularised where H is not positive definite, and a step along it.

    Args:
        wolfe: demand that the slope falls as well, to a share of 0.9 (Nocedal & Wright 2006, §3.1), by
            bisection (Lewis & Overton 2013, Math. Program. 141:135-163); else only that f does.
        memory: how many of the last values f must fall below, the largest of them: 1 lets f only decrease, more lets
            it rise for a while (Grippo, Lampariello & Lucidi 1986, SIAM J. Numer. Anal. 23:707-716).

    Raises:
        ValueError: if `memory` is below 1.
    """

    def __init__(self, *, wolfe: bool = True, memory: int = 1) -> None:
        memory = check_whole("memory", memory)
        if memory < 1:
            raise ValueError(f"memory: expected 1 or more values, got {memory}")
        self.wolfe, self.memory = wolfe, memory
        self._forget()

    def _forget(self) -> None:
        self._direction = NewtonDirection()
        self._values: deque[float] = deque(maxlen=self.memory)
        self._in_full = True  # whether the last step was a full one

    def anew(self) -> Self:
        """The same for another minimisation."""
        other = copy.copy(self)
        other._forget()
        return other

    def direct(self) -> Asking[Ray | None]:
        """The direction that leaves from here; None where H is too large for any."""
        ray = yield from self._direction()
        return ray

    def step(self, here: Point, ray: Ray, noise: float) -> Asking[Step]:
        """A step along it, and the point looked at last: that where f has decreased enough.

        It gives up where the slope promises no more than rounding errors; where it does so from the start, or nearly,
        f may rise by as much. Points that are not finite only shorten the step.

        Args:
            here: value and gradient where the ray leaves.
            ray: the direction.
            noise: rounding error of f.
        """
        self._values.append(here.value)
        search = self._bisect if self.wolfe else self._backtrack
        step = yield from search(here.value, max(self._values), ray, noise)
        self._in_full = step.length == 1
        return step

    def _backtrack(self, value: float, reference: float, ray: Ray, noise: float) -> Asking[Step]:
        """Nocedal & Wright (2006), algorithm 3.1.

        The next trial is the minimiser of the parabola through what is known, within a tenth and a half of the last.
        """
        slope, length, evaluations, reached, finite = ray.slope, 1.0, 0, value, True
        slack = noise if -slope <= CLOSE * noise else 0.0
        while evaluations < TRIALS and (length == 1 or -slope * length > noise) and reached != -math.inf:
            bound = reference + ARMIJO * length * slope + slack
            reached, point, made = yield from self._try(length, bound)
            evaluations += made
            if point is not None and point.finite and reached <= bound:
                return Step(length, point, reached, evaluations, finite)
            finite = finite and point is None and math.isfinite(reached)
            length *= _shorter(value, slope, length, reached if point is None else math.nan)
        return Step(0.0, None, reached, evaluations, finite)

    def _bisect(self, value: float, reference: float, ray: Ray, noise: float) -> Asking[Step]:
        """Lewis & Overton (2013), algorithm 2.6; of a bracket that rounding closes, the end with the lower f."""
        slope, length, low, high, evaluations, finite = ray.slope, 1.0, 0.0, math.inf, 0, True
        slack = noise if -slope <= CLOSE * noise else 0.0
        reached = value
        while evaluations < TRIALS and -slope * length > noise * (length < 1) and not high - low <= 1e-12 * low:
            bound = reference + ARMIJO * length * slope + slack
            reached, point, made = yield from self._try(length, bound)
            evaluations += made
            if reached == -math.inf:
                return Step(0.0, None, reached, evaluations)
            if not (point is not None and point.finite and reached <= bound):
                finite = finite and math.isfinite(reached) and (point is None or point.finite)
                high = length
            elif point.slope < WOLFE * slope and length < LONGEST and (math.isinf(high) or evaluations < ENOUGH):
                low = length
            else:
                return Step(length, point, reached, evaluations, finite)
            if low or math.isfinite(reached):
                length = 2 * low if math.isinf(high) else (low + high) / 2
            else:
                length = EDGE * high
        if not low:
            return Step(0.0, None, reached, evaluations, finite)
        best = yield from look(low)
        return Step(low, best, best.value, evaluations + 1, finite)

    def _try(self, length: float, bound: float) -> Asking[tuple[float, Point | None, int]]:
        """The value at a length; the point, too, where that is low enough, and how many evaluations that took.

        After a full step another one is likely, and all is asked for at once.
        """
        if self._in_full and length == 1:
            point = yield from look(length)
            return point.value, point, 1
        reached = yield from value_at(length)
        if not -math.inf < reached <= bound:
            return reached, None, 1
        point = yield from look(length)
        return reached, point, 2


def _shorter(value: float, slope: float, length: float, reached: float) -> float:
    """The share of its length that a step keeps."""
    if not math.isfinite(reached):
        return EDGE
    curvature = reached - value - slope * length
    best = -slope * length / (2 * curvature) if curvature > 0 else 0.5
    return min(max(best, 0.1), 0.5)
