"""Newton's method as a sequence of iterates; who asks for them decides when it is enough."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from banded.errors import NonFiniteError, NotPositiveDefiniteError
from banded.hessian import Plan
from banded.matrix import Symmetric
from banded.optimize.direction import NewtonDirection
from banded.optimize.line_search import backtrack
from banded.optimize.result import Status

UNBOUNDED = 1e20  # a fall of f, relative to its size and promise at the start, that no minimum explains
NOISE = 10  # rounding error of f, in units of eps |f|
SAMPLES = 4  # of the rounding error of f, where large terms may cancel in it
PATIENCE = 10  # steps in a row that lower neither f, by a millionth of what they promise, nor the gradient


@dataclass(frozen=True, eq=False)
class Iterate:
    """A point, what is known there, and the direction that leaves it.

    Attributes:
        x: the point, `(n,)`; `gradient` and `direction` likewise.
        value: f(x).
        gradient: g.
        H: Hessian.
        direction: p = -(H + δI)⁻¹ g.
        shift: δ.
        step: length of the step that led here, 0 at the start.
        evaluations: made to come here, line search included.
        status: why there is no next iterate, or None.
    """

    x: Tensor
    value: float
    gradient: Tensor
    H: Symmetric
    direction: Tensor
    shift: float
    step: float
    evaluations: int
    status: Status | None = None

    @cached_property
    def gradient_norm(self) -> float:
        """Largest absolute entry of the gradient."""
        return float(self.gradient.abs().max())

    @cached_property
    def decrement(self) -> float:
        """-gᵀp = gᵀ(H + δI)⁻¹g, twice the decrease that the quadratic model promises."""
        return -float(torch.dot(self.gradient, self.direction))

    def is_minimum(self) -> bool:
        """Whether H is positive semidefinite, as nearly as its dtype can tell."""
        if self.shift == 0:
            return True
        rows = self.H.row_sums()
        margin = torch.where(rows > 0, torch.finfo(self.H.dtype).eps ** 0.5 * rows, 1.0)  # an empty row is flat
        try:
            self.H.add_diagonal(margin).cholesky()
        except NotPositiveDefiniteError:
            return False
        return True


def newton(plan: Plan, x: Tensor, direction: NewtonDirection, tolerance: float) -> Iterator[Iterate]:
    """Iterates of the regularised Newton method with a backtracking line search, from `x`.

    The last has a status: there the gradient is within `tolerance`, or there is
    no going on, because of rounding errors, or f does not decrease, falls
    without limit or is not finite. Where that shows only on the way on, the last
    iterate comes once more.

    Raises:
        NonFiniteError: if f or a derivative is not finite at `x`.
    """
    here = _judge(_arrive(plan, x, direction, step=0.0, evaluations=1), tolerance)
    floor = -UNBOUNDED * max(1.0, abs(here.value), here.decrement)
    least, idle = here.gradient_norm, 0
    while True:
        yield here
        if here.status is not None:
            return
        if idle == PATIENCE:
            here = _give_up(plan, here)
            continue
        there = _judge(_advance(plan, here, direction, floor), tolerance)
        gained = max(_noise(here), 1e-6 * here.decrement) < here.value - there.value
        idle = 0 if gained or there.gradient_norm < 0.9 * least else idle + 1
        least, here = min(least, there.gradient_norm), there


def _judge(here: Iterate, tolerance: float) -> Iterate:
    """The iterate, with a status where its gradient is small."""
    if here.status is not None or here.gradient_norm > tolerance:
        return here
    return replace(here, status=Status.CONVERGED if here.is_minimum() else Status.SADDLE)


def _arrive(plan: Plan, x: Tensor, direction: NewtonDirection, *, step: float, evaluations: int) -> Iterate:
    value, gradient, H = plan.evaluate(x)
    if not bool(torch.isfinite(gradient).all()):
        raise NonFiniteError("f: expected a finite gradient")
    p, shift = direction(H, gradient)
    return Iterate(x, float(value), gradient, H, p, shift, step, evaluations)


def _advance(plan: Plan, here: Iterate, direction: NewtonDirection, floor: float) -> Iterate:
    """The next iterate, or this one with the reason why there is none."""
    noise = _noise(here)
    tried = 0
    if here.decrement > 2 * noise:
        step = backtrack(
            lambda t: float(plan.value_at(here.x + t * here.direction)), here.value, -here.decrement, noise
        )
        if step.value < floor:
            return replace(here, status=Status.UNBOUNDED)
        if step.length:
            x = here.x + step.length * here.direction
            try:
                return _arrive(plan, x, direction, step=step.length, evaluations=step.evaluations + 1)
            except NonFiniteError:
                return replace(here, status=Status.NON_FINITE)
        tried = step.evaluations
    return _polish(plan, here, direction, tried)


def _polish(plan: Plan, here: Iterate, direction: NewtonDirection, tried: int) -> Iterate:
    """A full step where f no longer tells points apart, as long as it halves the gradient."""
    try:
        there = _arrive(plan, here.x + here.direction, direction, step=1.0, evaluations=tried + 1)
    except NonFiniteError:
        return replace(here, status=Status.NON_FINITE)
    halved = there.gradient_norm <= 0.5 * here.gradient_norm
    if halved and there.value <= here.value + 10 * _measured_noise(plan, here):
        return there
    return _give_up(plan, here)


def _give_up(plan: Plan, here: Iterate) -> Iterate:
    """Where f does not decrease: for its rounding errors, or in spite of its derivatives."""
    if here.decrement > 100 * _measured_noise(plan, here):
        return replace(here, status=Status.LINE_SEARCH)
    return replace(here, status=Status.PRECISION if here.is_minimum() else Status.SADDLE)


def _noise(here: Iterate) -> float:
    return NOISE * torch.finfo(here.x.dtype).eps * abs(here.value)


def _measured_noise(plan: Plan, here: Iterate) -> float:
    """The same, or how f changes with the rounding errors of x, if that is more: large terms may cancel in f."""
    generator = torch.Generator().manual_seed(0)
    ulp = torch.finfo(here.x.dtype).eps * here.x.abs()
    noise = _noise(here)
    for _ in range(SAMPLES):
        signs = torch.randn(here.x.shape, generator=generator, dtype=torch.float64, device="cpu").sign().to(here.x)
        change = abs(float(plan.value_at(here.x + ulp * signs)) - here.value)
        noise = max(noise, change) if math.isfinite(change) else noise
    return noise
