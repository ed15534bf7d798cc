"""The functions of a problem with constraints in scaled form, its two phases, and the answers that they give."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from banded.hessian.lagrangian import Derivatives, LagrangianPlan
from banded.matrix import Symmetric
from banded.matrix.rows import Congruence
from banded.optimize.interior.form import Form
from banded.optimize.interior.phase import Phase, Proximal
from banded.optimize.interior.point import Point
from banded.optimize.interior.questions import Step, Which

MOST = 100.0  # largest entry of the gradients of objective and constraints at the start, that they are scaled to
LEAST = 1e-8  # of the factors that do so
COST = 1e3  # ρ, of a violation in restoration
GROUPS = {Step.TRY: "values", Step.COMPARE: "values", Step.LOOK: "derivatives", Step.TAKE: "derivatives"}
EVALUATED = (Step.TRY, Step.COMPARE, Step.LOOK, Step.MULTIPLIERS, Step.ENTER, Step.LEAVE)


@dataclass(eq=False)
class Functions:
    """Objective and equations of a phase, scaled.

    Attributes:
        plan: of the derivatives.
        form: of the phase.
        factor: `(A,)`: of the objective, None in restoration, where it does not count.
        scale: `(A, m)`: of the rows.
        numbers: `(A,)`, of the problems; None for all.
        mask: 1 where H has entries of unknowns that are free, in its storage; None if all are.
    """

    plan: LagrangianPlan
    form: Form
    factor: Tensor | None
    scale: Tensor
    numbers: Tensor | None
    mask: tuple[Tensor, ...] | None

    def look(self, v: Tensor, multipliers: Tensor) -> Point:
        """Everything at v `(A, N)` and λ `(A, m)`."""
        form, n = self.form, self.form.n
        found = derivatives(self.plan, v[:, :n], self.scale * multipliers, self.factor, self.numbers)
        values = found.J.values * self.scale[..., None]
        gradient, H = found.gradient, found.H
        if self.mask is not None:
            values = values * form.free.to(values)[:, found.J.columns]
            H = H.with_tensors(tuple(one * mask for one, mask in zip(H.tensors, self.mask, strict=True)))
        J = found.J.with_values(values)
        slope = gradient - J.transposed_times(multipliers)
        if self.mask is not None:
            slope = torch.where(form.free, slope, 0)
        if form.blocks:
            slope = torch.cat([slope, form.costs().expand(len(v), -1)], 1)
        none = torch.zeros_like(v)
        return Point(v, multipliers, none, none, *self._measured(v, found.value, found.rows), slope, J, H)

    def values(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """The objective and the equations."""
        value, rows = self.plan.values_at(v[:, : self.form.n].to(self.plan.dtype), self.numbers)
        return self._measured(v, value.to(v), rows.to(v))

    def _measured(self, v: Tensor, value: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        objective = torch.zeros_like(value) if self.factor is None else self.factor * value
        if self.form.blocks:
            objective = objective + v[:, self.form.n :] @ self.form.costs()
        return objective, self.form.add_rows(self.scale * rows, v)


def derivatives(
    plan: LagrangianPlan, x: Tensor, multipliers: Tensor, factor: Tensor | None, numbers: Tensor | None = None
) -> Derivatives:
    """Those of a plan, in double precision whatever its own: barriers ask for more digits than functions."""
    of = plan.dtype
    found = plan.evaluate(x.to(of), multipliers.to(of), None if factor is None else factor.to(of), numbers)
    if found.value.dtype == x.dtype:
        return found
    value, rows, gradient = (one.to(x) for one in found[:3])
    H = found.H.with_tensors(tuple(one.to(x) for one in found.H.tensors))
    return Derivatives(value, rows, gradient, found.J.with_values(found.J.values.to(x)), H)


class Interior:
    """The state of A problems.

    Args:
        plan: of their derivatives.
        x: `(A, n)`, the start.
        lower, upper: `(A, n)`, the bounds.
        seconds: spent, by what for.
    """

    def __init__(
        self, plan: LagrangianPlan, x: Tensor, lower: Tensor, upper: Tensor, seconds: dict[str, float]
    ) -> None:
        self.seconds, self.evaluations = seconds, 1
        x, lower, upper = x.double(), lower.double(), upper.double()
        form = Form.of(lower, upper, plan.m, plan.constraints.equalities)
        x = form.push(_with_slacks(torch.where(form.free, x, lower), form))[:, : form.n]
        ones = x.new_ones(len(x))
        found = derivatives(plan, x, x.new_zeros(len(x), plan.m), ones)
        self._mask = _mask(found.H, form.free)
        self.factor = _scaling(torch.where(form.free, found.gradient, 0).abs().amax(1))
        entries = (found.J.values * form.free.to(x)[:, found.J.columns]).abs()
        self.scale = _scaling(entries.amax(2)) if plan.m else x.new_ones(len(x), 0)
        self._functions = Functions(plan, form, self.factor, self.scale, None, self._mask)
        slacks = (self.scale * found.rows)[:, plan.constraints.equalities :]
        v = form.push(torch.cat([x, slacks], 1))
        congruence = Congruence(found.J.columns, _single(found.H))
        start = self._functions.look(v, x.new_zeros(len(x), plan.m))
        self.regular = Phase(form, self._functions, congruence, self._with_bounds(form, start))
        self._elastic: Phase | None = None

    def answer(self, which: Which, rows: Tensor | None, numbers: Sequence[Sequence[float]]) -> Sequence[Any]:
        """The answers to questions of one kind from all problems."""
        begun = time.perf_counter()
        assert rows is None
        lists = list(zip(*numbers, strict=True)) if numbers[0] else []
        answers = getattr(self, f"_{which.step.name.lower()}")(which.phase, *lists)
        self.evaluations += which.step in EVALUATED
        group = GROUPS.get(which.step, "linear algebra")
        self.seconds[group] = self.seconds.get(group, 0.0) + time.perf_counter() - begun
        return [None] * len(numbers) if answers is None else answers

    def phase(self, phase: int) -> Phase:
        """The regular one (0) or that of restoration (1)."""
        found = (self.regular, self._elastic)[phase]
        assert found is not None
        return found

    def _measure(self, phase: int, mu: Sequence[float]) -> Any:
        return self.phase(phase).measure(mu)

    def _multipliers(self, phase: int) -> None:
        self.phase(phase).reset_multipliers()

    def _direction(self, phase: int, *numbers: Sequence[float]) -> Any:
        return self.phase(phase).direction(*numbers)

    def _correction(self, phase: int, *numbers: Sequence[float]) -> Any:
        return self.phase(phase).correct(*numbers)

    def _try(self, phase: int, *numbers: Sequence[float]) -> Any:
        return self.phase(phase).attempt(*numbers)

    def _look(self, phase: int, *numbers: Sequence[float]) -> Any:
        return self.phase(phase).look(*numbers)

    def _take(self, phase: int, *numbers: Sequence[float]) -> None:
        self.phase(phase).take(*numbers)

    def _enter(self, _phase: int, mu: Sequence[float]) -> None:
        """Restoration from where the regular phase is, with the best p and q there (§3.3, eq. 33)."""
        regular = self.regular
        form = regular.form.elastic(COST)
        functions = Functions(self._functions.plan, form, None, self.scale, None, self._mask)
        barrier = regular.here.v.new_tensor(mu)[:, None]
        rows = regular.here.rows
        half = (barrier - COST * rows) / (2 * COST)
        q = half + (half.square() + barrier * rows / (2 * COST)).sqrt()
        p = rows + q
        v = torch.cat([regular.here.v, p, q], 1)
        here = functions.look(v, torch.zeros_like(rows))
        lower = torch.cat([regular.here.lower.clamp(max=COST), barrier / p, barrier / q], 1)
        upper = torch.cat([regular.here.upper.clamp(max=COST), torch.zeros_like(p), torch.zeros_like(q)], 1)
        anchor = regular.here.v
        weight = 1 / anchor.abs().clamp(min=1).square()
        self._elastic = Phase(
            form, functions, regular.congruence, replace(here, lower=lower, upper=upper), Proximal(weight, anchor)
        )

    def _compare(self, _phase: int, mu: Sequence[float]) -> Any:
        return self.regular.compare(self._found(), mu)

    def _leave(self, _phase: int, mu: Sequence[float], tau: Sequence[float]) -> None:
        self.regular.move_bounds(self._found(), mu, tau)
        self._elastic = None

    def _relax(self, _phase: int, mu: Sequence[float], amount: Sequence[float]) -> None:
        form = self.regular.form.relaxed(amount[0])
        self._functions.form = form
        self.regular.relax(form, mu)

    def _found(self) -> Tensor:
        """V where restoration is."""
        return self.phase(1).here.v[:, : self.regular.form.size]

    @staticmethod
    def _with_bounds(form: Form, start: Point) -> Point:
        return replace(start, lower=form.has_lower.to(start.v), upper=form.has_upper.to(start.v))


def _with_slacks(x: Tensor, form: Form) -> Tensor:
    """V, of x and anything."""
    return torch.nn.functional.pad(x, (0, form.size - form.n), value=1.0)


def _single(H: Symmetric) -> Symmetric:
    return H.with_tensors(tuple(one[0] for one in H.tensors))


def _scaling(largest: Tensor) -> Tensor:
    """Factors that make the largest entries `MOST`, where they are above it (§3.8)."""
    return (MOST / largest.clamp(min=MOST)).clamp(min=LEAST)


def _mask(H: Symmetric, free: Tensor) -> tuple[Tensor, ...] | None:
    """1 where H has entries of unknowns that are free, in its storage; None if all are."""
    if bool(free.all()):
        return None
    one = free.to(H.dtype)[..., None]
    return H._of_outer(one, one).tensors
