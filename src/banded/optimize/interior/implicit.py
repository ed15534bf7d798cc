"""Derivatives of a constrained minimum with respect to what its functions depend on besides the unknowns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from banded.hessian.lagrangian import ConstrainedPlan
from banded.matrix.rows import Congruence
from banded.optimize.interior.form import Form
from banded.optimize.interior.kkt import EPSILON, System, condensed
from banded.optimize.interior.workspace import Functions, fixed_mask, single
from banded.optimize.result import Status

DECIDED = 3.0  # by how much one of a multiplier and the distance to its bound is larger, beside curvature, if one is
SOLVED = 1e-6  # relative residual of the system, from which constraints depend on each other
MARGIN = 1e-12  # of the largest entry of its diagonal, by which the matrix must be positive definite


def attach(
    plan: ConstrainedPlan,
    x: Tensor,
    multipliers: Tensor,
    bounds: Sequence[Tensor],
    pressure: Sequence[Tensor],
    status: Sequence[Status],
) -> tuple[Tensor, int]:
    """The minima `x` `(A, n)`, with the derivatives that the implicit function theorem gives them.

    Where the conditions of optimality F(x, λ, θ) = 0 hold with strict complementarity, (dx, dλ) solves the system of
    a Newton step with -dF for its right-hand side (Fiacco 1976, Math. Program. 10:287-311). Whatever θ the functions
    close over is found by autograd; where nothing there requires a gradient, x is returned as it is.

    Args:
        plan: of the problems.
        x: the minima.
        multipliers: `(A, m)`, of the rows, in f + λ·r.
        bounds: `(A, n)` each, lower and upper.
        pressure: `(A, n)` each, their multipliers.
        status: of each problem: only minima have derivatives.

    Returns:
        The minima, and how many evaluations that took.
    """
    point = torch.cat([x, multipliers.to(x), torch.ones_like(x[:, :1])], 1)
    with torch.enable_grad():
        if not plan.traced(point.clone()).requires_grad:
            return x, 1
        leaf = point.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(plan.traced(leaf).sum(), leaf, create_graph=True)
    found: Tensor = _Minimum.apply(  # type: ignore[no-untyped-call]
        x, gradient, _Conditions(plan, x.double(), multipliers.double(), bounds, pressure), status
    )
    return found, 2


class _Conditions:
    """The system of a Newton step at minima, made where it is first asked for."""

    def __init__(
        self,
        plan: ConstrainedPlan,
        x: Tensor,
        multipliers: Tensor,
        bounds: Sequence[Tensor],
        pressure: Sequence[Tensor],
    ) -> None:
        self.plan, self._x, self._multipliers = plan, x, multipliers
        self._bounds, self._pressure = bounds, pressure
        self._made: tuple[Form, System, Tensor] | None = None

    def made(self) -> tuple[Form, System, Tensor]:
        """The form, the system, and `(A, N)`, which bounds are neither active nor inactive."""
        if self._made is None:
            self._made = self._make()
        return self._made

    def _make(self) -> tuple[Form, System, Tensor]:
        plan, x = self.plan, self._x
        lower, upper = (one.double() for one in self._bounds)
        form = Form.of(lower, upper, plan.m, plan.constraints.equalities)
        ones = x.new_ones(len(x))
        blank = Functions(plan, ones, x.new_ones(len(x), plan.m), None, None)
        v = torch.nn.functional.pad(x, (0, form.size - form.n))
        H = blank.look(form, v, self._multipliers).H
        functions = Functions(plan, ones, blank.scale, None, fixed_mask(H, form.free))
        here = functions.look(form, v, self._multipliers)
        v = torch.cat([x, here.rows[:, plan.constraints.equalities :]], 1)
        above, below = form.distances(v)
        slack = -self._multipliers[:, plan.constraints.equalities :]
        low = torch.cat([self._pressure[0].to(x), slack], 1).clamp(min=0)
        high = torch.nn.functional.pad(self._pressure[1].to(x), (0, slack.shape[1])).clamp(min=0)
        curvature = here.H.diagonal().abs().amax(1, keepdim=True).clamp(min=MARGIN)
        against = torch.cat([curvature.expand_as(x), curvature / here.J.sizes().clamp(min=MARGIN)], 1)
        against = torch.cat([against[:, : form.n], against[:, form.n + plan.constraints.equalities :]], 1)
        S, undecided = torch.zeros_like(v), torch.zeros_like(v, dtype=torch.bool)
        for has, distance, z in ((form.has_lower, above, low), (form.has_upper, below, high)):
            stiff = z / (distance.clamp(min=torch.finfo(x.dtype).tiny) * against)  # 0 or infinite, at a minimum
            undecided |= has & (stiff > 1 / DECIDED) & (stiff < DECIDED)
            S += torch.where(has & (stiff > 1), against / MARGIN, 0)
        S[:, form.n :] = S[:, form.n :].clamp(min=MARGIN**1.5)  # of slacks without force
        S[:, : form.n] = torch.where(form.free, S[:, : form.n], 1)
        margin = MARGIN * here.H.diagonal().abs().amax(1, keepdim=True)
        firm = here.H.add_diagonal(torch.where(form.free, -margin, 0))
        epsilon = torch.full_like(ones, EPSILON)
        system = condensed(form, firm, here.J, S, 0 * ones, Congruence(here.J.columns, single(here.H)), epsilon)
        return form, system, undecided


class _Minimum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gradient: Tensor, conditions: _Conditions, status: Sequence[Status]) -> Tensor:
        ctx.conditions, ctx.status, ctx.length = conditions, status, gradient.shape[1]
        return x.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_x: Tensor) -> tuple[None, Tensor, None, None]:
        wanted = (of_x != 0).any(1)
        _check_status(wanted.tolist(), ctx.status)
        form, system, undecided = ctx.conditions.made()
        _check_strict(wanted, system.good, undecided, form, ctx.conditions.plan, ctx.status)
        a = torch.nn.functional.pad(of_x.double(), (0, form.size - form.n))
        a[:, : form.n] = torch.where(form.free, a[:, : form.n], 0)
        w, of_rows, residual = system.solve(a, a.new_zeros(len(a), form.m))
        for number in ((residual > SOLVED) & wanted).nonzero()[:, 0].tolist():
            raise ValueError(
                f"{_which(number, ctx.status)}: expected constraints that do not depend on each other, to "
                "differentiate their multipliers; leave out those that follow from others"
            )
        w = torch.cat([w[:, : form.n], of_rows, w.new_zeros(len(w), 1)], 1)
        return None, torch.where(wanted[:, None], -w, 0).to(of_x), None, None


def _check_status(wanted: list[bool], status: Sequence[Status]) -> None:
    for number, one in enumerate(status):
        if wanted[number] and not one.success:
            raise ValueError(
                f"{_which(number, status)}: expected a minimum to differentiate, got {one.name}: {one.value}"
            )


def _check_strict(
    wanted: Tensor, good: Tensor, undecided: Tensor, form: Form, plan: ConstrainedPlan, status: Sequence[Status]
) -> None:
    for number in (~good & wanted).nonzero()[:, 0].tolist():
        raise ValueError(
            f"{_which(number, status)}: expected a strict minimum to differentiate, got one where f does not curve in "
            "some direction that the constraints leave free: x can move there at no cost, so it has no derivative; "
            "add a small term that decides, such as 1e-6 x.square().sum()"
        )
    for number, place in (undecided & wanted[:, None]).nonzero().tolist():
        row = place - form.n + plan.constraints.equalities
        one = replace(plan.layout, batch=torch.Size())
        name = f"the bound of {one.label(place)}" if place < form.n else plan.constraints.label(row)
        raise ValueError(
            f"{_which(number, status)}: expected constraints that either hold x back or leave it alone, got {name} "
            "that is met exactly with a multiplier of zero: x has a kink there, and a derivative to one side only; "
            "move the constraint a little, or solve with a smaller tolerance"
        )


def _which(number: int, status: Sequence[Status]) -> str:
    return "result.x" if len(status) == 1 else f"result.x[{number}]"
