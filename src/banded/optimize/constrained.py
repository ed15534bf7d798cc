"""The interior-point method for one problem with constraints or bounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from banded.hessian.lagrangian import Derivatives, LagrangianPlan
from banded.optimize.conditions import Conditions, Multipliers
from banded.optimize.interior.algorithm import MU, InteriorPoint, Iterate, Settings
from banded.optimize.interior.questions import Inquiry
from banded.optimize.interior.workspace import Interior
from banded.optimize.limits import Limits
from banded.optimize.method import Outcome
from banded.optimize.recorder import Snapshot, State
from banded.optimize.result import Status


class Place(NamedTuple):
    """Multipliers at an iterate, in the user's units.

    Attributes:
        multipliers: `(m,)`: of the rows, in f + λ·r.
        lower, upper: `(n,)`: of the bounds.
    """

    multipliers: Tensor
    lower: Tensor
    upper: Tensor


class Constrained:
    """The interior-point method, from a start and with a plan.

    Args:
        make: makes a plan at a point `(n,)`.
        x: `(n,)`, the start.
        lower, upper: `(n,)`, the bounds.
        limits: for the tolerance, and whether derivatives of the minimum are wanted.
        seconds: spent before.
    """

    renewable = True

    def __init__(
        self,
        make: Callable[[Tensor], LagrangianPlan],
        x: Tensor,
        lower: Tensor,
        upper: Tensor,
        limits: Limits,
        seconds: dict[str, float],
    ) -> None:
        self._make, self._bounds, self._limits, self.seconds = make, (lower, upper), limits, seconds
        self._x = x.clamp(lower, upper)
        self._plan = make(self._x)

    def states(self) -> Iterator[State]:
        """The iterates."""
        lower, upper = self._bounds
        self._interior = Interior(self._plan, self._x[None], lower[None], upper[None], self.seconds)
        form = self._interior.regular.form
        settings = Settings(
            self._limits.tolerance,
            torch.finfo(self._x.dtype).eps,
            MU,
            self._plan.m > 0,
            float(form.has_lower.sum() + form.has_upper.sum()),
        )
        algorithm, answer, asked = InteriorPoint(settings).run(), None, 0
        while True:
            try:
                said = algorithm.send(answer)
            except StopIteration:
                return
            if isinstance(said, Inquiry):
                (answer,) = self._interior.answer(said.kind, None, (said.number,))
            else:
                answer = None
                made = self._interior.evaluations - asked
                asked += made
                yield self._state(said, made)

    def _state(self, iterate: Iterate, evaluations: int) -> State:
        interior, direction = self._interior, iterate.direction
        factor = float(interior.factor)
        snapshot = Snapshot(
            iterate.measure,
            iterate.value / factor,
            iterate.measure.dual,
            iterate.primal,
            iterate.shift,
            evaluations,
            direction is not None,
            violation=iterate.violation,
            barrier=iterate.mu,
            dual_step=iterate.dual,
            length=0.0 if direction is None else direction.length,
            trials=iterate.trials,
            restoration=iterate.restoration,
        )
        here = interior.regular.here
        n = self._plan.n
        place = Place(
            (interior.scale * here.multipliers)[0] / factor, here.lower[0, :n] / factor, here.upper[0, :n] / factor
        )
        x = interior.phase(int(iterate.restoration)).here.v[0, :n]
        return State(snapshot, x.to(self._x.dtype), iterate.status, place)

    def leaks(self, state: State) -> bool:
        """Whether f or a constraint couples unknowns there that the plan knows nothing of."""
        given = self._given(state)
        return bool(self._plan.leaks(*given, self._plan.evaluate(*given)))

    def anew(self, state: State) -> Constrained:
        """With a plan made there."""
        lower, upper = self._bounds
        return Constrained(self._make, state.x, lower, upper, self._limits, self.seconds)

    def is_better(self, state: State, best: State) -> bool:
        """Whether it meets the constraints, or does so better, and f is lower, or no higher."""
        return self._merit(state) <= self._merit(best)

    def _merit(self, state: State) -> tuple[float, float]:
        violation = state.snapshot.violation
        assert violation is not None
        return max(violation, 100 * self._limits.tolerance), state.snapshot.value

    def _given(self, state: State) -> tuple[Tensor, Tensor, Tensor]:
        x = state.x[None]
        return x, state.place.multipliers[None].to(x), x.new_ones(1)

    def outcome(self, state: State, status: Status) -> Outcome:
        """The minimum with its multipliers."""
        found = self._plan.evaluate(*self._given(state))
        pressure = self._pressure(found, state.place)
        rest = found.gradient[0] - pressure[0] + pressure[1]
        conditions = self._conditions(state, found, pressure)
        told = {
            "value": float(found.value),
            "gradient_norm": float(rest.abs().max()),
            "violation": conditions.violation,
            "multipliers": self._multipliers(conditions),
            "conditions": conditions,
        }
        return Outcome(state.x.clone(), 1, told)

    def _pressure(self, found: Derivatives, place: Place) -> Tensor:
        """`(2, n)`: z of the bounds; of an unknown that is fixed, whatever the gradient asks for."""
        lower, upper = self._bounds
        gradient = found.gradient[0]
        both = torch.stack([place.lower, place.upper]).to(gradient)
        fixed = torch.stack([gradient.clamp(min=0), (-gradient).clamp(min=0)])
        return torch.where(lower == upper, fixed, both)

    def _conditions(self, state: State, found: Derivatives, pressure: Tensor) -> Conditions:
        lower, upper = self._bounds
        given = self._plan.constraints
        signs = torch.ones_like(found.rows[0])
        signs[given.equalities :] = -1
        room = torch.stack([state.x - lower, upper - state.x])
        multipliers = signs * state.place.multipliers.to(signs)
        return Conditions(given, self._plan.layout, found.rows[0], multipliers, room, pressure)

    def _multipliers(self, conditions: Conditions) -> Multipliers:
        by_name: dict[str, Any] = self._plan.constraints.split(conditions.multipliers) if self._plan.m else {}
        lower, upper = (self._plan.layout.unflatten(one) for one in conditions.pressure)
        return Multipliers(by_name.get("equality"), by_name.get("inequality"), lower, upper)
