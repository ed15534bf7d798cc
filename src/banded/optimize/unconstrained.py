"""Newton's method for one problem without constraints."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor

from banded.hessian import Plan
from banded.optimize.dialogue import newton
from banded.optimize.implicit import attach
from banded.optimize.limits import Limits
from banded.optimize.method import Outcome
from banded.optimize.newton import Globalisation
from banded.optimize.recorder import State, snapshot
from banded.optimize.result import Status


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

    def is_better(self, state: State, best: State) -> bool:
        """Whether f is lower, or no higher."""
        return state.snapshot.value <= best.snapshot.value

    def outcome(self, state: State, status: Status) -> Outcome:
        """The minimum, with derivatives where these are wanted."""
        x = state.x.clone()
        if not self._limits.graph:
            return Outcome(x, 0, {})
        return Outcome(*attach(self._plan, x, state.place.matrix(0), (status,)), {})
