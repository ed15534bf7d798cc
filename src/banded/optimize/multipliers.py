"""Equality constraints by penalty and multiplier updates, each round solved by Newton's method."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from banded.checks import check_residuals
from banded.hessian import Plan
from banded.optimize.direction import NewtonDirection
from banded.optimize.newton import Iterate, newton
from banded.optimize.recorder import State
from banded.optimize.result import Status

START = 0.1  # first penalty weight
GROWTH = 10.0  # from round to round
LIMIT = -0.75  # power of eps at which ρ is as large as rounding allows: 5e11 in float64, 2e5 in float32
GATE = 0.01  # a round ends when its Newton decrement is this share of the penalty term


class AugmentedLagrangian:
    """L(x) = f(x) + Σ c(x) (λ + ρ c(x)), with λ and ρ updated in place between rounds.

    Hestenes (1969, J. Optim. Theory Appl. 4:303-320) and Powell (1969), with ρ
    for their c/2: as ρ grows or λ nears the multipliers, a minimum of L nears a
    minimum of f on c(x) = 0. Changed in place, λ and ρ leave a compiled plan valid.
    """

    def __init__(self, f: Callable[[Tensor], Tensor], equality: Callable[[Tensor], Tensor], x: Tensor) -> None:
        self.f, self.equality = f, equality
        with torch.enable_grad():
            residual = equality(x.clone().requires_grad_())
        check_residuals(residual, x)
        self.multipliers = torch.zeros_like(residual, requires_grad=False)
        self.penalty = torch.full((), START, dtype=residual.dtype, device=x.device)

    def __call__(self, x: Tensor) -> Tensor:
        """L(x)."""
        return self.f(x) + self.terms(self.equality(x))

    def terms(self, residual: Tensor) -> Tensor:
        """What L adds to f."""
        return (residual * (self.multipliers + self.penalty * residual)).sum()

    def state(self, iterate: Iterate, residual: Tensor) -> State:
        """An iterate of Newton's method on L, in terms of f and c."""
        return State(
            iterate,
            value=iterate.value - float(self.terms(residual)),
            violation=float(residual.abs().max()),
            penalty=float(self.penalty),
            multipliers=self.multipliers + 2 * self.penalty * residual,  # first-order estimate
        )


def rounds(
    lagrangian: AugmentedLagrangian,
    plan: Plan,
    residual: Callable[[Tensor], Tensor],
    x: Tensor,
    tolerance: float,
) -> Iterator[State]:
    """States of the method of multipliers: Newton on L, then λ, then ρ tenfold, and again.

    A round is not solved further than its penalty is worth: it ends once the
    Newton decrement is below a hundredth of ρ Σ c². ρ stays where a round has
    reduced the violation tenfold by itself. The state at which it ends comes
    once more, with its status.
    """
    direction, last = NewtonDirection(), 0.0
    limit = torch.finfo(x.dtype).eps ** LIMIT
    while True:
        for iterate in newton(plan, x, direction, tolerance):
            c = residual(iterate.x)
            state = lagrangian.state(iterate, c)
            if iterate.status is not None:
                break
            yield state
            worth = float(lagrangian.penalty * c.square().sum())
            if iterate.shift == 0 and iterate.decrement <= GATE * worth:
                break
        violation = float(c.abs().max())
        stuck = violation > 0.1 * last
        at_limit = float(lagrangian.penalty) >= limit
        status = _verdict(iterate, violation, tolerance, stuck=stuck, at_limit=at_limit)
        if status is not None:
            yield replace(state, status=status)
            return
        if iterate.status is not Status.UNBOUNDED:  # there, only a larger penalty helps
            x = iterate.x
            lagrangian.multipliers += 2 * lagrangian.penalty * c
        if stuck or iterate.status is Status.UNBOUNDED:
            lagrangian.penalty *= GROWTH
        last = violation


def _verdict(iterate: Iterate, violation: float, tolerance: float, *, stuck: bool, at_limit: bool) -> Status | None:
    """Why a round was the last, or None."""
    if iterate.status is Status.NON_FINITE:
        return Status.NON_FINITE
    if violation <= tolerance:
        if iterate.status in (Status.PRECISION, Status.LINE_SEARCH, Status.SADDLE):
            return iterate.status
        if iterate.gradient_norm <= tolerance:
            return Status.CONVERGED
    no_further = at_limit or (stuck and iterate.status is Status.PRECISION)
    if no_further and violation <= torch.finfo(iterate.x.dtype).eps ** 0.5:
        return Status.PRECISION
    if not at_limit:
        return None
    return Status.UNBOUNDED if iterate.status is Status.UNBOUNDED else Status.INFEASIBLE
