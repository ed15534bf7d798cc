"""The functions of a problem with constraints in scaled form, its two phases, and the answers that they give."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from banded.hessian.lagrangian import ConstrainedPlan, Derivatives
from banded.matrix import Symmetric
from banded.matrix.rows import Congruence, Rows
from banded.optimize.interior.arithmetic import arithmetic
from banded.optimize.interior.barrier import Proximal
from banded.optimize.interior.evaluator import Evaluator
from banded.optimize.interior.form import Form
from banded.optimize.interior.part import Part
from banded.optimize.interior.phase import Phase
from banded.optimize.interior.point import Point
from banded.optimize.interior.questions import Step, Which
from banded.optimize.interior.warm import Forces

MOST = 100.0  # largest entry of the gradients of objective and constraints at the start, that they are scaled to
LEAST = 1e-8  # of the factors that do so
GROWN = 10.0  # times what they are, by which factors of the end have to be larger, to take their place
FAINT = 1e-8  # largest entry of gradient, and of the Hessian times x, down to which the objective is scaled up to 1
COST = 1e3  # ρ, of a violation in restoration
GROUPS = {Step.TRY: "values", Step.COMPARE: "values", Step.LOOK: "derivatives", Step.TAKE: "derivatives"}


@dataclass(eq=False)
class Functions:
    """Objective and equations of a phase, scaled.

    Attributes:
        plan: of the derivatives.
        factor: `(A,)`: of the objective, None in restoration, where it does not count.
        scale: `(A, m)`: of the rows.
        numbers: `(A,)`, of the problems; None for all.
        mask: where H has entries of unknowns that are fixed, in its storage; None if none are.
    """

    plan: ConstrainedPlan
    factor: Tensor | None
    scale: Tensor
    numbers: Tensor | None
    mask: tuple[Tensor, ...] | None

    def look(self, form: Form, v: Tensor, multipliers: Tensor) -> Point:
        """Everything at v `(A, N)` and λ `(A, m)`."""
        found = derivatives(self.plan, v[:, : form.n], self.scale * multipliers, self.factor, self.numbers)
        return self.looked(form, v, multipliers, found)

    def looked(self, form: Form, v: Tensor, multipliers: Tensor, found: Derivatives) -> Point:
        """The same from derivatives at v for scale * λ, which may be overwritten."""
        for one, mask in zip(found.H.tensors, self.mask or (), strict=self.mask is not None):
            one.masked_fill_(mask, 0)
        return arithmetic(v).looked(form, self.factor, self.scale, v, multipliers, found)

    def take(self, rows: Tensor) -> Functions:
        """Those of some problems."""
        return replace(
            self,
            factor=None if self.factor is None else self.factor[rows],
            scale=self.scale[rows],
            numbers=rows if self.numbers is None else self.numbers[rows],
            mask=None if self.mask is None else tuple(one[rows] for one in self.mask),
        )

    def elastic(self) -> Functions:
        """Those of restoration, where the objective does not count."""
        return replace(self, factor=None)

    def values(self, form: Form, v: Tensor) -> tuple[Tensor, Tensor]:
        """The objective and the equations."""
        value, rows = self.plan.values_at(v[:, : form.n].to(self.plan.dtype), self.numbers)
        return arithmetic(v).valued(form, self.factor, self.scale, v, value.to(v), rows.to(v))


def derivatives(
    plan: ConstrainedPlan, x: Tensor, multipliers: Tensor, factor: Tensor | None, numbers: Tensor | None = None
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
        x: `(A, n)`, the start, within the bounds.
        lower, upper: `(A, n)`, the bounds.
        seconds: spent, by what for.
        warm: multipliers to start from.
    """

    def __init__(
        self,
        plan: ConstrainedPlan,
        x: Tensor,
        lower: Tensor,
        upper: Tensor,
        seconds: dict[str, float],
        warm: Forces | None = None,
    ) -> None:
        self.seconds = seconds
        self.mu: list[float] | None = None  # to start with, where there is something to go by
        x, lower, upper = x.double(), lower.double(), upper.double()
        form = Form.of(lower, upper, plan.m, plan.constraints.equalities)
        ones = x.new_ones(len(x))
        found = derivatives(plan, x, x.new_zeros(len(x), plan.m), ones)
        self._mask = fixed_mask(found.H, form.free)
        steepest = torch.where(form.free, found.gradient, 0).abs().amax(1)
        natural = (found.H.row_sums() * form.free).amax(1) * x.abs().amax(1).clamp(min=1)
        faint = torch.maximum(steepest, natural).clamp(FAINT, 1)
        bounded = (form.has_lower | form.has_upper).any(1)  # where μ is there to compare f with
        self.factor = _scaling(steepest) / torch.where(bounded, faint, 1)
        self.scale = _scaling(_steepest(found.J, form)) if plan.m else x.new_ones(len(x), 0)
        self._functions = Functions(plan, self.factor, self.scale, None, self._mask)
        slacks = (self.scale * found.rows)[:, plan.constraints.equalities :]
        congruence = Congruence(found.J.columns, single(found.H))
        if warm is None:
            v = form.push(torch.cat([x, slacks], 1))
            start = self._start(form, v, x, found)
            start = replace(start, lower=form.has_lower.to(v), upper=form.has_upper.to(v))
        else:
            v = torch.cat([x, slacks], 1)
            start, mu = warm.start(form, self._functions, v, self.factor, self.scale)
            self.mu = mu.tolist()
        self.regular = Phase(form, self._functions, congruence, start, None)
        self._elastic: Phase | None = None

    def _start(self, form: Form, v: Tensor, x: Tensor, found: Derivatives) -> Point:
        """Everything at v, without multipliers, from the derivatives at x if that is there, which are overwritten."""
        none = x.new_zeros(len(x), self.scale.shape[1])
        if not torch.equal(v[:, : x.shape[1]], x):
            return self._functions.look(form, v, none)
        for one in (found.gradient, *found.H.tensors):
            one.mul_(self.factor.reshape(-1, *[1] * (one.ndim - 1)))
        return self._functions.looked(form, v, none, found)

    def answer(self, which: Which, rows: Tensor | None, numbers: Sequence[Sequence[float]]) -> Sequence[Any]:
        """The answers to questions of one kind from all problems."""
        begun = time.perf_counter()
        lists = list(zip(*numbers, strict=True)) if numbers[0] else []
        answers = getattr(self, f"_{which.step.name.lower()}")(which.phase, rows, *lists)
        group = GROUPS.get(which.step, "linear algebra")
        self.seconds[group] = self.seconds.get(group, 0.0) + time.perf_counter() - begun
        return [None] * len(numbers) if answers is None else answers

    def drop(self, kept: Tensor) -> None:
        """Keep the problems in these rows only."""
        self.regular = self.regular.take(kept)
        self._elastic = None if self._elastic is None else self._elastic.take(kept)
        self.factor, self.scale = self.factor[kept], self.scale[kept]

    @property
    def device(self) -> torch.device:
        """Of all tensors."""
        return self.factor.device

    @contextmanager
    def _open(self, phase: int, rows: Tensor | None) -> Iterator[Phase]:
        """A phase, of the problems in some rows: what changes there is kept."""
        whole = self.phase(phase)
        if rows is None:
            yield whole.shared()
        else:
            part = Part(whole, rows)
            yield part
            part.put_back()

    def phase(self, phase: int) -> Phase:
        """The regular one (0) or that of restoration (1)."""
        found = (self.regular, self._elastic)[phase]
        assert found is not None
        return found

    def points(self, restoration: Sequence[bool], rows: Tensor) -> Tensor:
        """`(A, n)`: where the problems in some rows are, in restoration or not."""
        n = self.regular.form.n
        x = self.regular.here.v[rows, :n]
        if not any(restoration):
            return x
        where = torch.tensor(restoration, device=x.device)[:, None]
        return torch.where(where, self.phase(1).here.v[rows, :n], x)

    def _measure(self, phase: int, rows: Tensor | None, mu: Sequence[float]) -> Any:
        whole = self.phase(phase)
        return (whole if rows is None else Part(whole, rows)).measure(mu)

    def _multipliers(self, phase: int, rows: Tensor | None) -> None:
        with self._open(phase, rows) as part:
            part.reset_multipliers()

    def _direction(self, phase: int, rows: Tensor | None, *numbers: Sequence[float]) -> Any:
        with self._open(phase, rows) as part:
            return part.direction(*numbers)

    def _aim(self, phase: int, rows: Tensor | None, *numbers: Sequence[float]) -> Any:
        with self._open(phase, rows) as part:
            return part.aim(*numbers)

    def _correction(self, phase: int, rows: Tensor | None, *numbers: Sequence[float]) -> Any:
        with self._open(phase, rows) as part:
            return part.correct(*numbers)

    def _curve(self, phase: int, rows: Tensor | None, *numbers: Sequence[float]) -> Any:
        with self._open(phase, rows) as part:
            return part.curve(*numbers)

    def _try(self, phase: int, rows: Tensor | None, *numbers: Sequence[float]) -> Any:
        with self._open(phase, rows) as part:
            return part.attempt(*numbers)

    def _look(self, phase: int, rows: Tensor | None, *numbers: Sequence[float]) -> Any:
        with self._open(phase, rows) as part:
            return part.look(*numbers)

    def _take(self, phase: int, rows: Tensor | None, *numbers: Sequence[float]) -> None:
        with self._open(phase, rows) as part:
            part.accept(*numbers)

    def _keep(self, phase: int, rows: Tensor | None) -> None:
        with self._open(phase, rows) as part:
            part.keep()

    def _return(self, phase: int, rows: Tensor | None) -> None:
        with self._open(phase, rows) as part:
            part.go_back()

    def _enter(self, _phase: int, rows: Tensor | None, mu: Sequence[float]) -> None:
        """Restoration from where the regular phase is."""
        part = _restoration(self.regular.shared() if rows is None else Part(self.regular, rows), mu)
        if rows is None:
            self._elastic = part
            return
        if self._elastic is None:  # the problems that are not in it make up the count
            self._elastic = part.take(torch.zeros(len(self.factor), dtype=torch.long, device=self.device))
        self._elastic.put(rows, part)
        self._elastic.evaluator = self.regular.evaluator.elastic()

    def _split(self, phase: int, rows: Tensor | None, mu: Sequence[float]) -> None:
        with self._open(phase, rows) as part:
            here, size = part.here, self.regular.form.size
            p, q = here.v[:, size:].chunk(2, 1)
            part.here = _split(part.evaluator, part.form, here, here.v[:, :size], here.rows + p - q, mu)

    def _compare(self, _phase: int, rows: Tensor | None, mu: Sequence[float]) -> Any:
        whole = self.regular.shared() if rows is None else Part(self.regular, rows)
        return whole.compare(self._found(rows), mu)

    def _leave(self, _phase: int, rows: Tensor | None, mu: Sequence[float], tau: Sequence[float]) -> None:
        with self._open(0, rows) as part:
            part.move_bounds(self._found(rows), mu, tau)

    def _concede(self, _phase: int, rows: Tensor | None) -> None:
        size = self.regular.form.size
        found = self.phase(1).shared().here if rows is None else self.phase(1).here.part(rows)
        with self._open(0, rows) as part:
            here = part.evaluator.look(part.form, found.v[:, :size], found.multipliers)
            part.here = replace(here, lower=found.lower[:, :size], upper=found.upper[:, :size])

    def _relax(self, _phase: int, rows: Tensor | None, mu: Sequence[float], amount: Sequence[float]) -> None:
        with self._open(0, rows) as part:
            part.relax(part.form.relaxed(amount[0]), mu)

    def _rescale(self, _phase: int, rows: Tensor | None) -> list[float]:
        """By how much factors of f grow; 0 where neither they nor those of rows are much larger than at the start."""
        index = torch.arange(len(self.factor), device=self.device) if rows is None else rows
        part = Part(self.regular, index)
        here, form, factor, scale = part.here, part.form, self.factor[index], self.scale[index]
        slope = here.slope[:, : form.n].abs().amax(1) / factor
        growth = _growth(_scaling(slope) / factor)
        rises = _growth(_scaling(_steepest(here.J, form) / scale) / scale) if form.m else scale
        wanted = (growth > 1) | (rises > 1).any(1)
        if bool(wanted.any()):
            self._scale_by(index, growth, rises, part)
        return torch.where(wanted, growth, 0).tolist()

    def _scale_by(self, index: Tensor, growth: Tensor, rises: Tensor, part: Part) -> None:
        """The same points with factors of f and rows that many times as large."""
        here, slacks = part.here, self.regular.form.size - self.regular.form.n
        self.factor = self.factor.index_copy(0, index, growth * self.factor[index])
        self.scale = self.scale.index_copy(0, index, rises * self.scale[index])
        functions = self.regular.evaluator
        assert isinstance(functions, Functions)
        self.regular.evaluator = replace(functions, factor=self.factor, scale=self.scale)
        units = torch.cat([torch.ones_like(here.v[:, : part.form.n]), rises[:, part.form.m - slacks :]], 1)
        there = self.regular.evaluator.take(index).look(
            part.form, units * here.v, growth[:, None] / rises * here.multipliers
        )
        lower, upper = (growth[:, None] / units * one for one in (here.lower, here.upper))
        part.here = replace(there, lower=lower, upper=upper)
        part.put_back()

    def _found(self, rows: Tensor | None) -> Tensor:
        """V where restoration is."""
        whole = self.phase(1) if rows is not None else self.phase(1).shared()
        v = whole.here.v[:, : self.regular.form.size]
        return v if rows is None else v[rows]


def _restoration(regular: Phase, mu: Sequence[float]) -> Phase:
    """That from where a regular phase is, with the best p and q there (§3.3, eq. 33)."""
    form = regular.form.elastic(COST)
    functions, here = regular.evaluator.elastic(), regular.here
    start = _split(functions, form, here, here.v, here.rows, mu)
    proximal = Proximal(1 / here.v.abs().clamp(min=1).square(), here.v)
    return Phase(form, functions, regular.congruence, start, proximal)


def _split(functions: Evaluator, form: Form, here: Point, v: Tensor, rows: Tensor, numbers: Sequence[float]) -> Point:
    """At v `(A, K)` of the regular phase, what its rows leave in the p and q that are best for μ (eq. 33)."""
    mu = v.new_tensor(numbers)[:, None]
    half = (mu - COST * rows) / (2 * COST)
    q = half + (half.square() + mu * rows / (2 * COST)).sqrt()
    p = rows + q
    size = v.shape[1]
    lower = torch.cat([here.lower[:, :size].clamp(max=COST), mu / p, mu / q], 1)
    upper = torch.cat([here.upper[:, :size].clamp(max=COST), torch.zeros_like(p), torch.zeros_like(q)], 1)
    return replace(functions.look(form, torch.cat([v, p, q], 1), torch.zeros_like(rows)), lower=lower, upper=upper)


def single(H: Symmetric) -> Symmetric:
    """The first of a batch."""
    return H.with_tensors(tuple(one[0] for one in H.tensors))


def _steepest(J: Rows, form: Form) -> Tensor:
    """`(A, m)`: the largest entries of rows, of unknowns that are free."""
    return (J.values * form.free.to(J.values)[:, J.columns]).abs().amax(2)


def _growth(ratio: Tensor) -> Tensor:
    """What is worth it, else 1."""
    return torch.where(ratio > GROWN, ratio, 1)


def _scaling(largest: Tensor) -> Tensor:
    """Factors that make the largest entries `MOST`, where they are above it (§3.8)."""
    return (MOST / largest.clamp(min=MOST)).clamp(min=LEAST)


def fixed_mask(H: Symmetric, free: Tensor) -> tuple[Tensor, ...] | None:
    """Where H has entries of unknowns that are fixed, in its storage; None if none are."""
    if bool(free.all()):
        return None
    one = free.to(H.dtype)[..., None]
    of_free = H._of_outer(one, one).tensors
    return tuple(torch.empty_like(a, dtype=torch.bool).copy_(b == 0) for a, b in zip(H.tensors, of_free, strict=True))
