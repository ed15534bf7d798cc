"""The interior-point method for one problem with constraints or bounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from banded.hessian.lagrangian import ConstrainedPlan
from banded.optimize.conditions import Conditions
from banded.optimize.dialogue import Algorithm, Desk
from banded.optimize.interior.algorithm import MU, InteriorPoint
from banded.optimize.interior.batched import overwrite
from banded.optimize.interior.form import Form
from banded.optimize.interior.implicit import attach
from banded.optimize.interior.iterate import Iterate, Settings
from banded.optimize.interior.questions import Inquiry
from banded.optimize.interior.warm import Forces
from banded.optimize.interior.workspace import Interior
from banded.optimize.limits import Limits
from banded.optimize.method import Outcome, Outcomes
from banded.optimize.recorder import Merit, Snapshot, State
from banded.optimize.result import Record, Result, Status

NEARLY = 100.0  # tolerances, up to which a violation is none, where points are compared


def _forces(interior: Interior, rows: Tensor, n: int) -> Forces:
    """Where the problems in some rows are."""
    here, factor = interior.regular.here, interior.regular.evaluator.factor
    assert factor is not None
    multipliers = interior.scale[rows] * here.multipliers[rows]
    parts = multipliers, here.lower[rows, :n], here.upper[rows, :n]
    return Forces(*(one / factor[rows, None] for one in parts))


def _inside(x: Tensor, lower: Tensor, upper: Tensor, warm: bool) -> Tensor:
    """A start within the bounds; without multipliers to go with it, some way inside."""
    form = Form.of(lower, upper, 0, 0)
    return x.clamp(lower, upper) if warm else form.push(torch.where(form.free, x, lower))


def _settings(plan: ConstrainedPlan, limits: Limits, rule: str, bounds: float, mu: float | None) -> Settings:
    start, eps = MU if mu is None else mu, torch.finfo(plan.dtype).eps
    return Settings(limits.tolerance, eps, start, plan.m > 0, bounds, mu is not None, rule)


def _warm(results: Sequence[Result], plan: ConstrainedPlan) -> Forces:
    """The multipliers of results of problems like those of the plan."""
    parts = []
    for one in results:
        conditions = one.conditions
        if conditions is None or len(conditions.rows) != plan.m or conditions.layout.n != plan.n:
            came = "no constraints" if conditions is None else f"{len(conditions.rows)} and {conditions.layout.n}"
            raise ValueError(
                f"warm_start: expected the result of a problem with {plan.m} constraints of {plan.n} unknowns, got one "
                f"with {came}"
            )
        signs = torch.ones_like(conditions.multipliers)
        signs[plan.constraints.equalities :] = -1
        parts.append((signs * conditions.multipliers, *conditions.pressure))
    return Forces(*(torch.stack(one) for one in zip(*parts, strict=True)))


def _snapshot(iterate: Iterate) -> Snapshot:
    direction = iterate.direction
    return Snapshot(
        iterate.measure,
        iterate.value,
        iterate.measure.dual,
        iterate.primal,
        iterate.shift,
        iterate.evaluations,
        direction is not None,
        violation=iterate.violation,
        barrier=iterate.mu,
        dual_step=iterate.dual,
        length=0.0 if direction is None else direction.length,
        trials=iterate.trials,
        restoration=iterate.restoration,
    )


def merit(one: Snapshot | Record, tolerance: float) -> Merit:
    """First whether a point meets the constraints, or how far from that, then the value."""
    assert one.violation is not None
    return max(one.violation, NEARLY * tolerance), one.value


class Constrained:
    """The interior-point method, from a start and with a plan.

    Args:
        make: makes a plan at a point `(n,)`.
        x: `(n,)`, the start.
        lower, upper: `(n,)`, the bounds.
        limits: for the tolerance, and whether derivatives of the minimum are wanted.
        rule: by which the barrier parameter falls.
        seconds: spent before.
        warm: the result of a problem like this one.
    """

    renewable = True

    def __init__(
        self,
        make: Callable[[Tensor], ConstrainedPlan],
        x: Tensor,
        lower: Tensor,
        upper: Tensor,
        limits: Limits,
        rule: str,
        seconds: dict[str, float],
        warm: Result | None = None,
    ) -> None:
        self._warm = warm
        self._make, self._bounds, self._limits, self._rule = make, (lower, upper), limits, rule
        self.seconds = seconds
        self._x = _inside(x[None], lower[None], upper[None], warm is not None)[0]
        self._plan = make(self._x)

    def states(self) -> Iterator[State]:
        """The iterates."""
        lower, upper = self._bounds
        warm = None if self._warm is None else _warm([self._warm], self._plan)
        self._interior = Interior(self._plan, self._x[None], lower[None], upper[None], self.seconds, warm)
        form = self._interior.regular.form
        bounds = float(form.has_lower.sum() + form.has_upper.sum())
        mu = None if self._interior.mu is None else self._interior.mu[0]
        algorithm, answer = InteriorPoint(_settings(self._plan, self._limits, self._rule, bounds, mu)).run(), None
        while True:
            try:
                said = algorithm.send(answer)
            except StopIteration:
                return
            if isinstance(said, Inquiry):
                (answer,) = self._interior.answer(said.kind, None, (said.number,))
            else:
                answer = None
                row = torch.zeros(1, dtype=torch.long, device=self._x.device)
                x = self._interior.points([said.restoration], row)[0].to(self._x.dtype)
                places = _forces(self._interior, row, self._plan.n)
                yield State(_snapshot(said), x, said.status, places)

    def leaks(self, state: State) -> bool:
        """Whether f or a constraint couples unknowns there that the plan knows nothing of."""
        return bool(_leaks(self._plan, state.x[None], state.place, None)[0])

    def anew(self, state: State) -> Constrained:
        """With a plan made there."""
        lower, upper = self._bounds
        return Constrained(self._make, state.x, lower, upper, self._limits, self._rule, self.seconds)

    def merit(self, one: Snapshot | Record) -> Merit:
        """First whether it meets the constraints, or how far from that, then the value."""
        return merit(one, self._limits.tolerance)

    def outcome(self, state: State, status: Status) -> Outcome:
        """The minimum with its multipliers."""
        x, bounds = state.x[None], [one[None] for one in self._bounds]
        (told,) = _told(self._plan, x, state.place, bounds, None)
        if not self._limits.graph:
            return Outcome(state.x.clone(), 1, told)
        minimum, evaluations = _attached(self._plan, x, state.place, bounds, (status,))
        return Outcome(minimum[0], 1 + evaluations, told)


def _given(x: Tensor, places: Forces) -> tuple[Tensor, Tensor, Tensor]:
    return x, places.multipliers.to(x), x.new_ones(len(x))


def _leaks(plan: ConstrainedPlan, x: Tensor, places: Forces, numbers: Tensor | None) -> list[float]:
    """`(A,)`: what is coupled at x that the plan knows nothing of."""
    found: list[float] = plan.leaks(*_given(x, places), numbers).tolist()
    return found


def _attached(
    plan: ConstrainedPlan, x: Tensor, places: Forces, bounds: Sequence[Tensor], status: Sequence[Status]
) -> tuple[Tensor, int]:
    """Minima with their derivatives, and how many evaluations that took."""
    return attach(plan, x.clone(), places.multipliers, bounds, (places.lower, places.upper), status)


def _told(
    plan: ConstrainedPlan, x: Tensor, places: Forces, bounds: Sequence[Tensor], numbers: Tensor | None
) -> list[dict[str, Any]]:
    """What results tell besides, of problems at x `(A, n)`."""
    found = plan.evaluate(*_given(x, places), numbers)
    lower, upper = bounds
    both = torch.stack([places.lower, places.upper]).to(x)
    fixed = torch.stack([found.gradient.clamp(min=0), (-found.gradient).clamp(min=0)])
    pressure = torch.where(lower == upper, fixed, both)  # of what is fixed, whatever the gradient asks for
    rest = (found.gradient - pressure[0] + pressure[1]).abs().amax(1)
    signs = torch.ones_like(found.rows)
    signs[:, plan.constraints.equalities :] = -1
    multipliers = signs * places.multipliers.to(signs)
    inequalities = multipliers[:, plan.constraints.equalities :]
    inequalities.clamp_(min=0)  # which rounding errors may hide
    where = replace(plan.layout, batch=torch.Size())
    told = []
    for row in range(len(x)):
        room = torch.stack([x[row] - lower[row], upper[row] - x[row]])
        conditions = Conditions(plan.constraints, where, found.rows[row], multipliers[row], room, pressure[:, row])
        told.append(
            {
                "value": float(found.value[row]),
                "gradient_norm": float(rest[row]),
                "violation": conditions.violation,
                "multipliers": conditions.by_name(),
                "conditions": conditions,
            }
        )
    return told


class ConstrainedBatch:
    """The interior-point method for many problems at once.

    Args:
        make: makes a plan at points `(B, n)`.
        x: `(B, n)`, the starts.
        lower, upper: `(B, n)`, the bounds.
        limits: for the tolerance, and whether derivatives of the minima are wanted.
        rule: by which the barrier parameter falls.
        warm: the results of problems like these.
    """

    def __init__(
        self,
        make: Callable[[Tensor], ConstrainedPlan],
        x: Tensor,
        lower: Tensor,
        upper: Tensor,
        limits: Limits,
        rule: str,
        warm: Sequence[Result] | None = None,
    ) -> None:
        self._limits, self._bounds = limits, (lower, upper)
        self.start = _inside(x, lower, upper, warm is not None)
        self._plan = make(self.start)
        self.layout = self._plan.layout
        known = None if warm is None else _warm(warm, self._plan)
        self._interior = Interior(self._plan, self.start, lower, upper, {}, known)
        self.workspace: Desk = self._interior
        self._kept = _forces(self._interior, torch.arange(len(x), device=x.device), self._plan.n)
        starts: Sequence[float | None] = self._interior.mu or [None] * len(x)
        form = self._interior.regular.form
        bounds = (form.has_lower.sum(1) + form.has_upper.sum(1)).tolist()
        self.algorithms: Sequence[Algorithm] = [
            InteriorPoint(_settings(self._plan, limits, rule, float(count), mu)).run()
            for count, mu in zip(bounds, starts, strict=True)
        ]

    def snapshot(self, iterate: Iterate) -> Snapshot:
        """What an iterate tells."""
        return _snapshot(iterate)

    def merit(self, one: Snapshot | Record) -> Merit:
        """First whether it meets the constraints, or how far from that, then the value."""
        return merit(one, self._limits.tolerance)

    def points(self, iterates: Sequence[Iterate], rows: Tensor) -> Tensor:
        """Where the iterates are, of the problems in some rows."""
        return self._interior.points([one.restoration for one in iterates], rows).to(self.start)

    def places(self, rows: Tensor) -> Forces:
        """Their multipliers."""
        return _forces(self._interior, rows, self._plan.n)

    def keep(self, numbers: Tensor, rows: Tensor) -> None:
        """Their multipliers go with the points that are handed out."""
        overwrite(self._kept, numbers, self.places(rows))

    def leaks(self, x: Tensor, places: Forces, numbers: Tensor) -> Sequence[float]:
        """What f or constraints couple there that the plan knows nothing of."""
        return _leaks(self._plan, x, places, numbers)

    def outcome(self, x: Tensor, ends: Sequence[tuple[Tensor, Forces]], status: Sequence[Status]) -> Outcomes:
        """The minima with their multipliers."""
        self.release()
        told = _told(self._plan, x, self._kept, self._bounds, None)
        if self._limits.graph:
            x, _ = _attached(self._plan, x, self._kept, self._bounds, status)
        return Outcomes(x, told)

    def release(self) -> None:
        """Evaluate all problems again."""
        self._plan.select(None)
