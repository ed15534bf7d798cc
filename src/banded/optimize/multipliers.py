"""Equality constraints by penalty and multiplier updates, each round solved by Newton's method."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from banded.checks import check_dependence, check_equality
from banded.hessian import Layout, Plan, Tree
from banded.optimize.dialogue import newton
from banded.optimize.newton import Globalisation, Iterate
from banded.optimize.recorder import State
from banded.optimize.result import Status
from banded.optimize.workspace import Place

START = 0.1  # first penalty weight, of constraints that change with x by about as much as x does
GROWTH = 10.0  # from round to round
LIMIT = -0.75  # power of eps at which ρ is as large as rounding allows: 5e11 in float64, 2e5 in float32
GATE = 0.01  # a round ends when its Newton decrement is this share of the penalty term
SCALES = (1e-2, 1e2)  # of the constraints' derivatives, that ρ need not be scaled for


class AugmentedLagrangian:
    """L(x) = f(x) + Σ c(x) (λ + ρ c(x)), with λ and ρ updated in place between rounds.

    Hestenes (1969, J. Optim. Theory Appl. 4:303-320) and Powell (1969), with ρ
    for their c/2: as ρ grows or λ nears the multipliers, a minimum of L nears a
    minimum of f on c(x) = 0. Changed in place, λ and ρ leave a compiled plan valid.

    Attributes:
        f, equality: f and c, of a pytree.
        multipliers: λ, in the shape of c(x).
        penalty: ρ, `()`.
        limit: the largest ρ.
    """

    def __init__(self, f: Callable[[Any], Tensor], equality: Callable[[Any], Tensor], where: Layout, x: Tensor) -> None:
        self.f, self.equality = f, equality
        with torch.enable_grad():
            leaf = x.clone().requires_grad_()
            residual = equality(where.unflatten(leaf))
            check_equality(residual, x)
            signs = torch.where(torch.arange(residual.numel(), device=x.device) % 2 == 0, 1.0, -1.0)
            signs = signs.to(residual).reshape(residual.shape)
            (pull,) = torch.autograd.grad(residual, leaf, signs, allow_unused=True)
        check_dependence(pull)
        size = float(pull.abs().max())
        scale = 1.0 if SCALES[0] <= size <= SCALES[1] or not 0 < size < float("inf") else size
        self.multipliers = torch.zeros_like(residual, requires_grad=False)
        self.penalty = torch.full((), START / scale**2, dtype=residual.dtype, device=x.device)
        self.limit = torch.finfo(x.dtype).eps ** LIMIT / scale**2

    def __call__(self, x: Tree) -> Tensor:
        """L(x)."""
        return self.f(x) + self.terms(self.equality(x))

    def measure(self, x: Tree) -> tuple[Tensor, Tensor]:
        """f(x) and c(x)."""
        return self.f(x), self.equality(x)

    def terms(self, residual: Tensor) -> Tensor:
        """What L adds to f."""
        return (residual * (self.multipliers + self.penalty * residual)).sum()

    def state(self, iterate: Iterate, place: Place, value: float, residual: Tensor) -> State:
        """An iterate of Newton's method on L, in terms of f, which is `value` there, and c, `residual`."""
        return State(
            iterate,
            place,
            value=value,
            violation=float(residual.abs().max()),
            penalty=float(self.penalty),
            multipliers=self.multipliers + 2 * self.penalty * residual,  # first-order estimate
        )


def rounds(
    lagrangian: AugmentedLagrangian,
    globalisation: Globalisation,
    tolerance: float,
    plan: Plan,
    x: Tensor,
    profile: dict[str, float],
) -> Iterator[State]:
    """States of the method of multipliers: Newton on L, then λ, then ρ tenfold, and again.

    A round is not solved further than its penalty is worth: it ends once the
    Newton decrement is below a hundredth of ρ Σ c². ρ stays where a round has
    reduced the violation tenfold by itself. The last state has a status; where
    that shows late, it comes once more.
    """
    measure = plan.evaluator(lagrangian.measure)
    last, most = 0.0, 0.0
    while True:
        for iterate, place in newton(plan, x, globalisation, tolerance, profile):
            f, c = measure(place.x[0])
            state = lagrangian.state(iterate, place, float(f), c)
            violation = float(c.abs().max())
            most = max(most, violation)
            if iterate.status is not None:
                break
            yield state
            worth = float(lagrangian.penalty * c.square().sum())
            if iterate.ray.shift == 0 and iterate.decrement <= GATE * worth:
                break
        stuck = violation > 0.1 * last
        at_limit = float(lagrangian.penalty) >= lagrangian.limit
        eps = torch.finfo(x.dtype).eps
        status = _verdict(iterate, violation, tolerance, eps, most=most, stuck=stuck, at_limit=at_limit)
        yield replace(state, status=status)
        if status is not None:
            return
        if iterate.status is not Status.UNBOUNDED:  # there, only a larger penalty helps
            x = place.x[0]
            lagrangian.multipliers += 2 * lagrangian.penalty * c
        if stuck or iterate.status is Status.UNBOUNDED:
            lagrangian.penalty *= GROWTH
        last = violation


def _verdict(
    iterate: Iterate, violation: float, tolerance: float, eps: float, *, most: float, stuck: bool, at_limit: bool
) -> Status | None:
    """Why a round was the last, or None; `most` is the largest violation on the way."""
    ended = iterate.status
    if ended is Status.NON_FINITE or (ended is Status.UNBOUNDED and at_limit):
        return ended
    if violation <= tolerance:
        if ended in (Status.PRECISION, Status.LINE_SEARCH, Status.SADDLE):
            return ended
        if iterate.point.gradient_norm <= tolerance:
            return Status.CONVERGED
    met = violation <= eps ** (2 / 3) * most
    if met and (at_limit or (stuck and ended is Status.PRECISION)):
        return ended if ended in (Status.LINE_SEARCH, Status.SADDLE) else Status.PRECISION
    if not at_limit:
        return None
    return Status.LINE_SEARCH if ended is Status.LINE_SEARCH and violation <= 1e-3 * most else Status.INFEASIBLE
