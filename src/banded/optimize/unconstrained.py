"""Newton's method for problems without constraints, one or many."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from banded.hessian import Plan
from banded.optimize.dialogue import Algorithm, Desk, OfPlan, newton
from banded.optimize.implicit import attach
from banded.optimize.limits import Limits
from banded.optimize.method import Outcome, Outcomes
from banded.optimize.newton import Globalisation, Iterate, Newton
from banded.optimize.recorder import Merit, Snapshot, State, by_value, snapshot
from banded.optimize.result import Record, Status
from banded.optimize.workspace import Place, Workspace


class Unconstrained:
    """Newton's method, from a start and with a plan.

    Args:
        plan: of f.
        x: `(n,)`, the start.
        globalisation: what leads to a minimum from afar.
        limits: for the tolerance, and whether derivatives of the minimum are wanted.
        again: makes a plan at another point, where that may be done.
        seconds: spent before.
    """

    def __init__(
        self,
        plan: Plan,
        x: Tensor,
        globalisation: Globalisation,
        limits: Limits,
        again: Callable[[Any], Plan] | None,
        seconds: dict[str, float],
    ) -> None:
        self._plan, self._x, self._globalisation, self._limits = plan, x, globalisation, limits
        self._again, self.seconds = again, seconds

    @property
    def renewable(self) -> bool:
        """Whether there is a way to make another plan."""
        return self._again is not None

    def states(self) -> Iterator[State]:
        """The iterates."""
        run = newton(self._plan, self._x, self._globalisation, self._limits.tolerance, self.seconds)
        for iterate, place in run:
            yield State(snapshot(iterate), place.x[0], iterate.status, place)

    def leaks(self, state: State) -> bool:
        """Whether f couples unknowns there that the band does not hold."""
        return bool(self._plan.leak(state.x, state.place.matrix(0)))

    def anew(self, state: State) -> Unconstrained | None:
        """With a plan made there."""
        if self._again is None:
            return None
        plan = self._again(self._plan.unflatten(state.x))
        return Unconstrained(plan, state.x, self._globalisation.anew(), self._limits, self._again, self.seconds)

    def merit(self, one: Snapshot | Record) -> Merit:
        """The value."""
        return by_value(one)

    def outcome(self, state: State, status: Status) -> Outcome:
        """The minimum, with derivatives where these are wanted."""
        x = state.x.clone()
        if not self._limits.graph:
            return Outcome(x, 0, {})
        return Outcome(*attach(self._plan, x, state.place.matrix(0), (status,)), {})


class UnconstrainedBatch:
    """Newton's method for many problems at once.

    Args:
        plan: of all of them, with one batch dimension.
        x: `(B, n)`, where they start.
        globalisation: of which each has a copy.
        limits: for the tolerance, and whether derivatives of the minima are wanted.

    Raises:
        NonFiniteError: if f or its gradient is not finite at a start.
    """

    def __init__(self, plan: Plan, x: Tensor, globalisation: Globalisation, limits: Limits) -> None:
        self._plan, self._limits = plan, limits
        self.layout, self.start = plan.layout, x
        self._here = Workspace.at(OfPlan(plan), x)
        self.workspace: Desk = self._here
        eps = torch.finfo(x.dtype).eps
        self.algorithms: Sequence[Algorithm] = [
            Newton(globalisation.anew(), limits.tolerance, eps).run(start) for start in self._here.starts()
        ]

    def snapshot(self, iterate: Iterate) -> Snapshot:
        """What an iterate tells."""
        return snapshot(iterate)

    def merit(self, one: Snapshot | Record) -> Merit:
        """The value."""
        return by_value(one)

    def points(self, iterates: Sequence[Iterate], rows: Tensor) -> Tensor:
        """Where the problems in some rows are."""
        return self._here.here.x[rows]

    def places(self, rows: Tensor) -> Place:
        """What is known there."""
        return self._here.here.take(rows)

    def keep(self, numbers: Tensor, rows: Tensor) -> None:
        """Nothing goes with points that are no minima, and those are where problems end."""

    def leaks(self, x: Tensor, places: Place, numbers: Tensor) -> Sequence[float]:
        """What f couples there that the band does not hold."""
        self._plan.select(numbers)
        found: list[float] = self._plan.leaks(places.x, places.H).tolist()
        return found

    def outcome(self, x: Tensor, ends: Sequence[tuple[Tensor, Place]], status: Sequence[Status]) -> Outcomes:
        """The minima, with derivatives where these are wanted."""
        told: list[dict[str, Any]] = [{} for _ in status]
        if not self._limits.graph:
            return Outcomes(x, told)
        order = torch.cat([numbers for numbers, _ in ends]).argsort()
        tensors = zip(*(place.H.tensors for _, place in ends), strict=True)
        H = self._here.here.H.with_tensors(tuple(torch.cat(parts)[order] for parts in tensors))
        return Outcomes(attach(self._plan, x, H, tuple(status))[0], told)

    def release(self) -> None:
        """Evaluate all problems again."""
        self._plan.select(None)
