"""Newton's method as a sequence of iterates; who asks for them decides when it is enough."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from banded.errors import NonFiniteError, NotPositiveDefiniteError
from banded.hessian import Plan
from banded.matrix import SymmetricBanded
from banded.optimize.direction import NewtonDirection
from banded.optimize.line_search import backtrack
from banded.optimize.result import Status

UNBOUNDED = 1e20  # a fall of f, relative to its size at the start, that no minimum explains
NOISE = 10  # rounding error of f, in units of eps |f|
PATIENCE = 10  # steps in a row that lower neither f, by a millionth of what they promise, nor the gradient
COARSE_NOISE = 1e4  # the same where large terms cancel in f: the most that is put down to rounding


@dataclass(frozen=True)
class Iterate:
    """A point, what is known there, and the direction that leaves it.

    Attributes:
        x: the point; `gradient` and `direction` have its shape.
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
    H: SymmetricBanded
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
        return -float(torch.dot(self.gradient.reshape(-1), self.direction.reshape(-1)))

    def is_minimum(self) -> bool:
        """Whether H is positive semidefinite, as nearly as its dtype can tell."""
        if self.shift == 0:
            return True
        margin = torch.finfo(self.H.dtype).eps ** 0.5 * float(self.H.diagonal().abs().max())
        try:
            self.H.add_diagonal(margin).cholesky()
        except NotPositiveDefiniteError:
            return bool(margin == 0)
        return True


def newton(plan: Plan, x: Tensor, direction: NewtonDirection, tolerance: float) -> Iterator[Iterate]:
    """Iterates of the regularised Newton method with a backtracking line search, from `x`.

    Ends where the gradient is within `tolerance`, or where it cannot go on: at
    rounding errors, where f does not decrease, where it falls without limit or
    is not finite. The iterate at which it ends comes once more, with its status.

    Raises:
        NonFiniteError: if f or a derivative is not finite at `x`.
    """
    here = _arrive(plan, x, direction, step=0.0, evaluations=1)
    magnitude = max(1.0, abs(here.value))
    least, idle = here.gradient_norm, 0
    while True:
        yield here
        if here.status is not None:
            return
        if here.gradient_norm <= tolerance:
            here = replace(here, status=Status.CONVERGED if here.is_minimum() else Status.SADDLE)
        elif idle == PATIENCE:
            here = _give_up(here, magnitude)
        else:
            there = _advance(plan, here, direction, magnitude)
            gained = max(_noise(here), 1e-6 * here.decrement) < here.value - there.value
            idle = 0 if gained or there.gradient_norm < 0.9 * least else idle + 1
            least, here = min(least, there.gradient_norm), there


def _arrive(plan: Plan, x: Tensor, direction: NewtonDirection, *, step: float, evaluations: int) -> Iterate:
    value, gradient, H = plan(x)
    if not bool(torch.isfinite(gradient).all()):
        raise NonFiniteError("f: expected a finite gradient")
    p, shift = direction(H, gradient.reshape(-1))
    return Iterate(x, float(value), gradient, H, p.reshape(x.shape), shift, step, evaluations)


def _advance(plan: Plan, here: Iterate, direction: NewtonDirection, magnitude: float) -> Iterate:
    """The next iterate, or this one with the reason why there is none."""
    noise = _noise(here)
    decrement, tried = here.decrement, 0
    if decrement > 2 * noise:
        step = backtrack(lambda t: float(plan.value(here.x + t * here.direction)), here.value, -decrement, noise)
        if step.value < -UNBOUNDED * magnitude:
            return replace(here, status=Status.UNBOUNDED)
        if step.length:
            x = here.x + step.length * here.direction
            try:
                return _arrive(plan, x, direction, step=step.length, evaluations=step.evaluations + 1)
            except NonFiniteError:
                return replace(here, status=Status.NON_FINITE)
        tried = step.evaluations
    return _polish(plan, here, direction, tried, magnitude)


def _noise(here: Iterate) -> float:
    return NOISE * torch.finfo(here.x.dtype).eps * abs(here.value)


def _coarse_noise(here: Iterate, magnitude: float) -> float:
    return COARSE_NOISE * torch.finfo(here.x.dtype).eps * max(magnitude, abs(here.value))


def _give_up(here: Iterate, magnitude: float) -> Iterate:
    """Where f does not decrease: for its rounding errors, or in spite of its derivatives."""
    rounding = here.decrement <= _coarse_noise(here, magnitude)
    return replace(here, status=Status.PRECISION if rounding else Status.LINE_SEARCH)


def _polish(plan: Plan, here: Iterate, direction: NewtonDirection, tried: int, magnitude: float) -> Iterate:
    """A full step where f no longer tells points apart, as long as it halves the gradient."""
    try:
        there = _arrive(plan, here.x + here.direction, direction, step=1.0, evaluations=tried + 1)
    except NonFiniteError:
        return replace(here, status=Status.NON_FINITE)
    if there.gradient_norm <= 0.5 * here.gradient_norm and there.value <= here.value + _coarse_noise(here, magnitude):
        return there
    return _give_up(here, magnitude)
