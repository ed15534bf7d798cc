"""Newton's method as an algorithm that asks for all it needs; who runs it decides when it is enough."""

import math
from collections.abc import Generator
from typing import Any, NamedTuple, Protocol, Self, TypeAlias

from banded.optimize.direction import NewtonDirection
from banded.optimize.line_search import Step
from banded.optimize.questions import Asking, Kind, Point, Question, Ray, accept, ask, look, value_at
from banded.optimize.result import Status

UNBOUNDED = 1e20  # a fall of f, relative to its size and promise at the start, that no minimum explains
NOISE = 10  # rounding error of f, in units of eps |f|
PATIENCE = 10  # steps in a row that lower neither f, by a millionth of what they promise, nor the gradient, or are hard
HARD = 8  # evaluations for one step: more take kinks and edges of a domain
CLEAR = 1e3  # eps times its row sums, by which H may miss being positive semidefinite
HALVINGS = 60  # of a step along negative curvature


class Globalisation(Protocol):
    """How steps are made that lead to a minimum from anywhere."""

    def anew(self) -> Self:
        """The same for another minimisation."""
        ...

    def direct(self) -> Asking[Ray | None]:
        """The direction that leaves from here; None where H is too large for any."""
        ...

    def step(self, here: Point, ray: Ray, noise: float) -> Asking[Step]:
        """A step along it to where f has decreased enough, which is looked at last."""
        ...


class Iterate(NamedTuple):
    """An iterate, in numbers.

    Attributes:
        point: what is known there.
        ray: the direction that leaves it.
        step: length of the step that led here, 0 at the start.
        evaluations: made to come here, line search included.
        status: why there is no next iterate, or None.
        stationary: whether the gradient is within the tolerance.
    """

    point: Point
    ray: Ray
    step: float
    evaluations: int
    status: Status | None = None
    stationary: bool = False

    @property
    def decrement(self) -> float:
        """-gᵀp, twice the decrease that the quadratic model promises, where δ = 0."""
        return -self.ray.slope


Run: TypeAlias = Generator[Question | Iterate, Any, None]  # an iterate is for who follows, and needs no answer


class Newton:
    """Newton's method with a globalisation, for one problem.

    The last iterate has a status: there the gradient is within `tolerance`, or there is no going on, because of
    rounding errors, or f does not decrease, falls without limit or is not finite. Where that shows only on the way
    on, the last iterate comes once more.

    Args:
        globalisation: how steps are made.
        tolerance: of the largest entry of the gradient, in units of f / x, and of its natural size where that is small.
        eps: of the dtype.
    """

    def __init__(self, globalisation: Globalisation, tolerance: float, eps: float) -> None:
        self._globalisation, self._tolerance, self._eps = globalisation, tolerance, eps
        self._floor, self._start = -math.inf, math.nan
        self._least, self._idle = math.inf, 0
        self._finite = True  # whether all points of the last search were

    def run(self, start: Point) -> Run:
        """From where the start was looked at."""
        self._start = start.value
        here = yield from self._arrive(start, 0.0, 1)
        largest = yield from ask(Kind.LARGEST)
        self._floor = -UNBOUNDED * max(1.0, abs(start.value), here.decrement, largest)
        while True:
            yield here
            if here.status is not None:
                return
            there = yield from self._advance(here)
            self._watch(here, there)
            here = there

    def _arrive(self, point: Point, step: float, evaluations: int) -> Asking[Iterate]:
        """At a point that was looked at."""
        yield from accept()
        ray = yield from self._globalisation.direct()
        if ray is None:
            return Iterate(point, Ray(0.0, 0.0, 0.0, math.inf), step, evaluations, Status.NON_FINITE)
        stationary = yield from self._is_stationary(point, ray)
        minimum = stationary and (ray.shift == 0 or (yield from ask(Kind.MINIMUM, CLEAR * self._eps)))
        return Iterate(point, ray, step, evaluations, Status.CONVERGED if minimum else None, stationary)

    def _is_stationary(self, point: Point, ray: Ray) -> Asking[bool]:
        """Whether the gradient is small, and what there is to gain, too: soft directions hide in a small one."""
        if point.gradient_norm > self._tolerance:
            return False
        scale = yield from ask(Kind.SCALE)
        if point.gradient_norm > self._tolerance * min(1.0, scale):
            return False
        gained = max(abs(point.value), self._start - point.value)
        return point.gradient_norm == 0 or ray.shift > 0 or -ray.slope <= 2 * self._tolerance * gained

    def _watch(self, here: Iterate, there: Iterate) -> None:
        """Count the steps that were of no use."""
        gained = max(self._noise(here), 1e-6 * here.decrement) < here.point.value - there.point.value
        norm = there.point.gradient_norm
        useful = (gained or norm < 0.9 * self._least) and there.evaluations <= HARD
        self._idle = 0 if useful else self._idle + 1
        self._least = min(self._least, norm)

    def _advance(self, here: Iterate) -> Asking[Iterate]:
        """The next iterate, or this one with the reason why there is none."""
        noise, tried = self._noise(here), 0
        if here.stationary:
            noise = yield from self._measured_noise(here)
            return (yield from self._escape(here, tried, noise))
        if self._idle >= PATIENCE:
            ray = yield from NewtonDirection()()
            return (yield from self._give_up(here, ray, tried))
        if here.decrement > 2 * noise and here.point.gradient_norm > 0:
            step = yield from self._globalisation.step(here.point, here.ray, noise)
            self._finite = step.finite
            if step.value < self._floor:
                return _ended(here, Status.UNBOUNDED)
            if step.point is not None:
                return (yield from self._arrive(step.point, step.length, step.evaluations))
            tried = step.evaluations
        return (yield from self._polish(here, tried))

    def _polish(self, here: Iterate, tried: int) -> Asking[Iterate]:
        """A full step where f no longer tells points apart, as long as it halves the gradient."""
        ray = yield from NewtonDirection()()  # a trust region's own may be short, and the search may have left another
        if here.point.gradient_norm > 0 and ray is not None:
            there = yield from look(1.0)
            tried += 1
            if there.finite and there.gradient_norm <= 0.5 * here.point.gradient_norm:
                noise = yield from self._measured_noise(here)
                if there.value <= here.point.value + 10 * noise:
                    return (yield from self._arrive(there, 1.0, tried))
        return (yield from self._give_up(here, ray, tried))

    def _give_up(self, here: Iterate, ray: Ray | None, tried: int) -> Asking[Iterate]:
        """Where f does not decrease: along negative curvature, for rounding errors, or in spite of its derivatives."""
        noise = yield from self._measured_noise(here)
        if ray is None or -ray.slope > 100 * noise:
            return _ended(here, Status.LINE_SEARCH if self._finite and ray is not None else Status.NON_FINITE)
        if ray.shift == 0 or (yield from ask(Kind.MINIMUM, CLEAR * self._eps)):
            return _ended(here, Status.PRECISION)
        return (yield from self._escape(here, tried, noise))

    def _escape(self, here: Iterate, tried: int, noise: float) -> Asking[Iterate]:
        """Leave a saddle along the lowest curvature, as far as f falls by a good part of what that promises."""
        ray: Ray = yield Question(Kind.CURVE, here.ray.shift)
        size = yield from ask(Kind.SIZE)
        length = max(1.0, size)
        for trial in range(1, HALVINGS + 1):
            promise = -length * ray.slope - 0.5 * length**2 * ray.curvature
            if promise <= noise:
                break
            reached = yield from value_at(length)
            if reached < self._floor:
                return _ended(here, Status.UNBOUNDED)
            if here.point.value - reached >= max(0.1 * promise, noise):
                point = yield from look(length)
                if point.finite:
                    self._idle, self._least = 0, math.inf
                    return (yield from self._arrive(point, length, tried + trial + 1))
            length /= 2
        if (yield from ask(Kind.MINIMUM, self._eps**0.5)):  # f is flat there, but for rounding errors
            return _ended(here, Status.CONVERGED if here.stationary else Status.PRECISION)
        return _ended(here, Status.SADDLE)

    def _noise(self, here: Iterate) -> float:
        return NOISE * self._eps * abs(here.point.value)

    def _measured_noise(self, here: Iterate) -> Asking[float]:
        """The same, or how f changes with the rounding errors of x, if that is more: large terms may cancel in f."""
        measured = yield from ask(Kind.NOISE)
        return max(self._noise(here), measured)


def _ended(here: Iterate, status: Status) -> Iterate:
    return here._replace(status=status)
