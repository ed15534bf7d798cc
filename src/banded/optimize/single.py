"""One problem: states are followed until one is the last."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from banded.hessian import Layout
from banded.optimize.limits import LONG, Limits, is_true
from banded.optimize.method import Method, Outcome
from banded.optimize.recorder import Recorder, State
from banded.optimize.result import Result, Status, keep

PLANS = 3  # made anew at most, where f couples other unknowns at the end than at the start


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
        self._seconds: dict[str, float] = {}

    @property
    def seconds(self) -> float:
        """Since the start."""
        return self._recorder.seconds

    def solve(self, method: Method) -> Result:
        """From its start to the end."""
        self._seconds = method.seconds
        state, status = self._follow(method, last=False)
        try:
            for made in range(1, PLANS + 1):
                if not status.is_verdict or not self._leaks(method, state):
                    break
                status = Status.BANDWIDTH
                other = method.anew(state) if method.renewable and made < PLANS else None
                if other is None:
                    break
                method = other  # f couples unknowns here that it did not at the start
                state, status = self._follow(method, last=made + 1 == PLANS)
            state = state if status.is_of_last or self._best is None else self._best
            outcome = method.outcome(state, status)
        except KeyboardInterrupt:
            return self._result(state, Status.INTERRUPTED)
        except Exception as error:
            keep(error, self._result(state, Status.INTERRUPTED))
            raise
        self._recorder.history.evaluations += outcome.evaluations
        return self._result(state, status, outcome)

    def _leaks(self, method: Method, state: State) -> bool:
        self._recorder.history.evaluations += 1
        return method.leaks(state)

    def _follow(self, method: Method, *, last: bool) -> tuple[State, Status]:
        """Take states until one says why it is the last, a limit is reached, or the user wants no more.

        Without a verdict, it is the best of them that counts, should f have risen on the way: of those with earlier
        plans, too. A plan that may be made anew, unless it is the `last` one, is doubted where the way is long.
        """
        try:
            for state in method.states():
                status = self._take(method, state, doubted=not last)
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

    def _take(self, method: Method, state: State, *, doubted: bool) -> Status | None:
        """Record a state; why it is the last one, or None."""
        record = self._recorder.add(state)
        if self._best is None or method.merit(state.snapshot) <= method.merit(self._best.snapshot):
            self._best = state
        steps = self._recorder.history.steps
        status = state.status or self._limits.reached(steps, self._layout.n, self._recorder.seconds)
        if record is not None and self._callback is not None and is_true(self._callback(self._point(state.x), record)):
            status = status or Status.STOPPED
        if status is None and doubted and method.renewable and steps in LONG and self._leaks(method, state):
            return Status.BANDWIDTH
        return status

    def _point(self, x: Tensor) -> Any:
        return self._layout.unflatten(x.clone())

    def _result(self, state: State, status: Status, outcome: Outcome | None = None) -> Result:
        history, seconds = self._recorder.history, self._recorder.seconds
        told: dict[str, Any] = {} if outcome is None else outcome.told
        fields = {
            "value": state.snapshot.value,
            "gradient_norm": state.snapshot.gradient_norm,
            "violation": state.snapshot.violation,
            **told,
        }
        return Result(
            x=self._point(state.x) if outcome is None else self._layout.unflatten(outcome.x),
            status=status,
            iterations=history.steps,
            evaluations=history.evaluations,
            seconds=seconds,
            profile={**self._seconds, "the rest": seconds - sum(self._seconds.values())},
            history=tuple(history.records),
            **fields,
        )
