"""One problem: states are followed until one is the last."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

from torch import Tensor

from banded.hessian import Layout, Plan
from banded.optimize.implicit import attach
from banded.optimize.limits import LONG, Limits, is_true
from banded.optimize.recorder import Recorder, State
from banded.optimize.result import Result, Status, keep

PLANS = 3  # made anew at most, where f couples other unknowns at the end than at the start


class Steps(Protocol):
    """A method: its states, of which the last has a status."""

    def __call__(self, plan: Plan, x: Tensor, profile: dict[str, float]) -> Any:
        """An iterator of states from `x` `(n,)`; what they take is added to `profile`."""
        ...


class Single:
    """A minimisation of one problem.

    Args:
        layout: of the unknowns, to give points as the start was given.
        limits: when it is enough.
        recorder: of history and progress.
        callback: called with each point and its record; it ends where it returns True.
    """

    def __init__(
        self, layout: Layout, limits: Limits, recorder: Recorder, callback: Callable[[Any, Any], object] | None
    ) -> None:
        self._layout, self._limits, self._recorder, self._callback = layout, limits, recorder, callback
        self._best: State | None = None  # over all plans
        self.profile: dict[str, float] = {}

    @property
    def seconds(self) -> float:
        """Since the start."""
        return self._recorder.seconds

    def solve(self, plan: Plan, x: Tensor, steps: Steps, again: Callable[[Any], Plan] | None) -> Result:
        """From `x` to the end.

        Args:
            plan: of what is minimised.
            x: `(n,)`, the start.
            steps: the method.
            again: makes a plan at another point, where that may be done.
        """
        state, status = self._follow(steps(plan, x, self.profile), None if again is None else plan)
        try:
            for made in range(1, PLANS + 1):
                x = state.place.x[0]
                if not status.is_verdict or not self._leaks(plan, state):
                    break
                status = Status.BANDWIDTH
                if again is None or made == PLANS:
                    break
                plan = again(self._layout.unflatten(x))  # f couples unknowns here that it did not at the start
                state, status = self._follow(steps(plan, x, self.profile), plan if made + 1 < PLANS else None)
            if state.multipliers is not None or not self._limits.graph:
                return self._result(state, status)
            minimum, evaluations = attach(plan, state.place.x[0].clone(), state.place.matrix(0), (status,))
        except KeyboardInterrupt:
            return self._result(state, Status.INTERRUPTED)
        except Exception as error:
            keep(error, self._result(state, Status.INTERRUPTED))
            raise
        self._recorder.history.evaluations += evaluations
        return replace(self._result(state, status), x=self._layout.unflatten(minimum))

    def _leaks(self, plan: Plan, state: State) -> bool:
        """Whether f couples unknowns there that the band does not hold."""
        self._recorder.history.evaluations += 1
        return bool(plan.leak(state.place.x[0], state.place.matrix(0)))

    def _follow(self, states: Any, doubted: Plan | None) -> tuple[State, Status]:
        """Take states until one says why it is the last, a limit is reached, or the user wants no more.

        Without a verdict, it is the best of them that counts, should f have risen on the way: of those with earlier
        plans, too. A plan that may be made anew is doubted where the way is long.
        """
        try:
            for state in states:
                status = self._take(state, doubted)
                if status is not None:
                    break
        except KeyboardInterrupt:
            if self._best is None:
                raise
            return self._best, Status.INTERRUPTED
        except Exception as error:
            if self._best is not None:
                keep(error, self._result(self._best, Status.INTERRUPTED))
            raise
        assert self._best is not None and status is not None  # the sequences end with a status
        return state if status.is_verdict else self._best, status

    def _take(self, state: State, doubted: Plan | None) -> Status | None:
        """Record a state; why it is the last one, or None."""
        record, best = self._recorder.add(state), self._best
        if best is None or state.violation is not None or state.value <= best.value:
            self._best = state
        steps = self._recorder.history.steps
        status = state.status or self._limits.reached(steps, self._layout.n, self._recorder.seconds)
        if record is not None and self._callback is not None:
            point = self._layout.unflatten(state.place.x[0].clone())
            if is_true(self._callback(point, record)):
                status = status or Status.STOPPED
        if status is None and doubted is not None and steps in LONG and self._leaks(doubted, state):
            return Status.BANDWIDTH
        return status

    def _result(self, state: State, status: Status) -> Result:
        history, seconds = self._recorder.history, self._recorder.seconds
        return Result(
            x=self._layout.unflatten(state.place.x[0].clone()),
            value=state.value,
            status=status,
            iterations=history.steps,
            evaluations=history.evaluations,
            gradient_norm=state.iterate.point.gradient_norm,
            seconds=seconds,
            profile={**self.profile, "the rest": seconds - sum(self.profile.values())},
            history=tuple(history.records),
            multipliers=state.multipliers,
            violation=state.violation,
        )
