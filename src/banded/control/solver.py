"""Control problems on grids, set up once and solved often."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypedDict

import torch
from torch import Tensor

from banded.control.guess import batched, start
from banded.control.outcome import outcome
from banded.control.programme import Programme
from banded.control.setup import Setup, Trajectory
from banded.control.solution import Solution
from banded.control.solutions import Solutions, solutions
from banded.control.stage import Engines
from banded.control.stretching import stretched
from banded.control.transcription import Transcription
from banded.optimize import Result, Results, minimize

if TYPE_CHECKING:
    from banded.control.problem import ControlProblem


class Options(TypedDict, total=False):
    """What goes to `minimize` as it is."""

    tolerance: float
    max_iterations: int | None
    max_seconds: float | None
    barrier: str | None
    progress: bool | None
    callback: Callable[[Any, Any], object] | None


def check_options(function: str, options: Iterable[str], others: Iterable[str]) -> None:
    """Keywords must be among those that go to `minimize`.

    Args:
        function: that was called.
        options: their names.
        others: what else it takes.

    Raises:
        TypeError: if one is not; says which may be meant.
    """
    names = list(dict.fromkeys([*others, *Options.__annotations__]))
    for one in options:
        if one not in Options.__annotations__:
            meant = get_close_matches(one, names, 1, 0.5)
            hint = f"{meant[0]!r} may be meant" if meant else f"they are {', '.join(names)}"
            raise TypeError(f"{function}: expected keywords that it knows, got {one!r}; {hint}")


class Solver:
    """Phases as one programme, with its derivatives.

    Args:
        programme: the phases on their grids.
        problems: what they were made of.
        compile: whether derivatives are to be compiled.
        engines: compiled ones that there are; new ones are added.
    """

    def __init__(
        self, programme: Programme, problems: Sequence[ControlProblem], compile: bool, engines: Engines
    ) -> None:
        self.programme, self.problems = programme, tuple(problems)
        self._compile, self._engines = compile, engines
        self._made: dict[int, Transcription] = {}

    def transcription(self, vector: Tensor) -> Transcription:
        """How problems like that at `vector` `(n,)` or `(A, n)` are evaluated: made once for each number of them."""
        count = 0 if vector.ndim == 1 else len(vector)
        if count not in self._made:
            self._made[count] = self.programme.transcription(vector, self._compile, self._engines)
        return self._made[count]

    def solve(
        self,
        guess: Any,
        initial: Tensor,
        final: Tensor,
        warm: Solution | Solutions | None,
        options: Options,
        time: float | None = None,
    ) -> Solution | Solutions:
        """A problem of one phase: from a guess, between ends `(nx,)`, or `(B, nx)` for a batch.

        It begins at a time of its own, or at another.
        """
        (setup,) = self.programme.phases
        with setup.problem.functions.beginning(time):
            return self._solve(setup, guess, (initial, final), warm, options)

    def _solve(
        self,
        setup: Setup,
        guess: Any,
        ends: tuple[Tensor, Tensor],
        warm: Solution | Solutions | None,
        options: Options,
    ) -> Solution | Solutions:
        initial, final = batched(*ends)
        first = start(setup, guess, initial, final)
        initial, final = (one.expand(*first.x.shape[:-2], -1) for one in (initial, final))
        known = None if warm is None or warm.scheme != setup.scheme.name else warm.result
        result = self.minimum([first], [(initial, final)], known, options)
        if isinstance(result, Results):
            return solutions(setup, result, lambda one: self.phases(one)[0], self.programme.start(0, result.x))
        return self.phases(result)[0]

    def minimum(
        self,
        starts: Sequence[Trajectory],
        ends: Sequence[tuple[Tensor, Tensor]],
        warm: Result | Results | None,
        options: Options,
    ) -> Result | Results:
        """From a trajectory and between ends `(..., nx)` of each phase."""
        vector = self.programme.pack(starts)
        lower, upper = self.programme.bounds(ends)
        vector = vector.clamp(lower, upper)
        with torch.no_grad():
            self.transcription(vector).check(vector)
        bounds = lower, upper
        first = self._minimise(vector, bounds, options, self._warmth(warm, vector))
        result: Result | Results = stretched(self._minimise, vector, bounds, options, first, self.programme.durations)
        return result

    def _minimise(self, start: Tensor, bounds: tuple[Tensor, Tensor], options: Options, warm: Any = None) -> Any:
        with torch.no_grad():
            return minimize(self.transcription(start), start, bounds=bounds, warm_start=warm, **options)

    def _warmth(self, given: Result | Results | None, vector: Tensor) -> Any:
        """The multipliers of a solution on the same grid; for a batch, of one or of as many."""
        one = next(iter(given), None) if isinstance(given, Results) else given
        if one is None or one.conditions is None or one.conditions.layout.n != self.programme.n:
            return None
        is_one = isinstance(given, Result)
        return Results(vector, (one,) * len(vector), 0.0, {}) if is_one and vector.ndim > 1 else given

    def phases(self, result: Result) -> tuple[Solution, ...]:
        """What a minimum says of each phase."""
        plan = next(iter(self._made.values()))
        many, conditions = len(self.problems) > 1, result.conditions
        costs = plan.costs(result.x) if many else [result.value]
        pull = None if conditions is None else plan.pull(result.x, conditions.multipliers)
        found = []
        for number, (problem, cost) in enumerate(zip(self.problems, costs, strict=True)):
            setup, where = self.programme.phases[number], self.programme.where[number]
            own = self.programme.own(result, number, cost)
            start = float(self.programme.start(number, result.x))
            found.append(outcome(setup, own, start, None if pull is None else pull[where], problem))
        return tuple(found)
