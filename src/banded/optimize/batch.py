"""Many problems at once: one algorithm each, their questions answered together."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from banded.optimize.dialogue import Crowd
from banded.optimize.limits import LONG, Limits, is_true
from banded.optimize.method import Methods, Outcomes
from banded.optimize.recorder import History, console
from banded.optimize.result import Result, Results, Status, keep

Callback = Callable[[Any, Any], object]


class Batch:
    """A minimisation of many problems.

    Args:
        methods: how they are minimised.
        limits: for each.
        progress: as in `minimize`.
        callback: called with all points and their records; ends all where it returns True.
        begun: when, by `time.perf_counter`, before the plan was made.
        before: the steps that each has behind it, which count.
        doubted: the plan was found, and is doubted where the way is long.
    """

    def __init__(
        self,
        methods: Methods,
        limits: Limits,
        progress: bool | None,
        callback: Callback | None,
        *,
        begun: float,
        before: Sequence[int],
        doubted: bool,
    ) -> None:
        self._begun, self._planned = begun, time.perf_counter() - begun
        self._methods, self._limits, self._callback = methods, limits, callback
        self._before, self._doubted = before, doubted
        self._console = console(progress)
        self._x = methods.start.clone()
        self._histories = [History(methods.merit) for _ in range(len(self._x))]
        self._status: list[Status | None] = [None] * len(self._x)
        self._ends: list[tuple[Tensor, Any]] = []  # which problems ended, and what is known there
        self._crowd = Crowd(methods.workspace, methods.algorithms, self._report, in_step=callback is not None)

    def run(self) -> Results:
        """Until all have ended, or the user interrupts."""
        try:
            with _heap_left_alone():
                self._crowd.run()
            self._check_bands()
            return self._results(self._outcome())
        except KeyboardInterrupt:
            if not all(history.records for history in self._histories):
                raise
            self._leave(Status.INTERRUPTED)
            return self._results(self._nothing_told())
        except Exception as error:
            if all(history.records for history in self._histories):
                self._leave(Status.INTERRUPTED)
                keep(error, self._results(self._nothing_told()))
            raise
        finally:
            self._methods.release()

    def _results(self, outcomes: Outcomes) -> Results:
        seconds = time.perf_counter() - self._begun
        profile = {"plan": self._planned, **self._methods.workspace.seconds}
        profile["the rest"] = seconds - sum(profile.values())
        one = replace(self._methods.layout, batch=torch.Size())
        results = []
        for point, told, status, history in zip(*outcomes, self._status, self._histories, strict=True):
            assert status is not None
            last = history.records[-1] if status.is_of_last else history.best
            fields = {"value": last.value, "gradient_norm": last.gradient_norm, "violation": last.violation, **told}
            results.append(
                Result(
                    x=one.unflatten(point),
                    status=status,
                    iterations=history.steps,
                    evaluations=history.evaluations,
                    seconds=seconds,
                    history=tuple(history.records),
                    profile=profile,
                    **fields,
                )
            )
        return Results(self._methods.layout.unflatten(outcomes.x), tuple(results), seconds, profile)

    def _nothing_told(self) -> Outcomes:
        return Outcomes(self._x, [{} for _ in self._status])

    def _outcome(self) -> Outcomes:
        """Where the problems ended."""
        ended = sum(len(numbers) for numbers, _ in self._ends)
        if ended < len(self._x):
            return self._nothing_told()
        status = [one or Status.INTERRUPTED for one in self._status]
        return self._methods.outcome(self._x, self._ends, status)

    def _report(self, numbers: Sequence[int], iterates: Sequence[Any], rows: Sequence[int]) -> Sequence[bool]:
        now = time.perf_counter() - self._begun
        live = [place for place, number in enumerate(numbers) if self._status[number] is None]
        for place in live:
            number, history = numbers[place], self._histories[numbers[place]]
            history.add(self._methods.snapshot(iterates[place]), now)
            limit = self._limits.reached(self._steps(number), self._methods.layout.n, now)
            self._status[number] = iterates[place].status or limit
        self._doubt(numbers, iterates, rows)
        better = [place for place in live if self._counts(numbers[place])]
        if better:
            self._x[self._index(numbers, better)] = self._points(iterates, rows, better)
            self._methods.keep(self._index(numbers, better), self._index(rows, better))
        if live:
            self._tell(now)
        ended = [place for place, number in enumerate(numbers) if self._status[number] is not None]
        if ended:
            self._ends.append((self._index(numbers, ended), self._methods.places(self._index(rows, ended))))
        return [self._status[number] is not None for number in numbers]

    def _points(self, iterates: Sequence[Any], rows: Sequence[int], places: Sequence[int]) -> Tensor:
        return self._methods.points([iterates[place] for place in places], self._index(rows, places))

    def _index(self, numbers: Sequence[int], places: Sequence[int]) -> Tensor:
        """Some of the numbers, as an index."""
        return torch.tensor([numbers[place] for place in places], dtype=torch.long, device=self._x.device)

    def _counts(self, number: int) -> bool:
        """Whether a problem is where it would end now: at its last point by a verdict, else at its best."""
        status, history = self._status[number], self._histories[number]
        return (status is not None and status.is_of_last) or history.records[-1] is history.best

    def _tell(self, now: float) -> None:
        """Show progress, and call back."""
        if self._console is not None:
            steps = max(history.steps for history in self._histories)
            ended = sum(status is not None for status in self._status)
            self._console.print(f"{steps:5d} steps  {ended} of {len(self._status)} ended  {now:8.3f} s", soft_wrap=True)
        if self._callback is not None and all(history.records for history in self._histories):
            records = [history.records[-1] for history in self._histories]
            self._methods.release()  # should all be evaluated in it
            if is_true(self._callback(self._methods.layout.unflatten(self._x.clone()), records)):
                self._leave(Status.STOPPED)

    def _steps(self, number: int) -> int:
        """Of a problem, with those before."""
        return self._before[number] + self._histories[number].steps

    def _doubt(self, numbers: Sequence[int], iterates: Sequence[Any], rows: Sequence[int]) -> None:
        """After many steps, whether f couples unknowns that it did not at the start; those where it does end here."""
        due = [
            place
            for place, number in enumerate(numbers)
            if self._doubted and self._status[number] is None and self._steps(number) in LONG
        ]
        if due:
            places = self._methods.places(self._index(rows, due))
            x = self._points(iterates, rows, due)
            for place, leak in zip(due, self._methods.leaks(x, places, self._index(numbers, due)), strict=True):
                if leak:
                    self._status[numbers[place]] = Status.BANDWIDTH

    def _leave(self, status: Status) -> None:
        """All that go on end where they are."""
        self._status = [one or status for one in self._status]

    def _check_bands(self) -> None:
        """Whether f couples unknowns at the end that it did not at the start."""
        for numbers, places in self._ends:
            leaks = self._methods.leaks(self._x[numbers], places, numbers)
            for number, leak in zip(numbers.tolist(), leaks, strict=True):
                status = self._status[number]
                if leak and status is not None and status.is_verdict:
                    self._status[number] = Status.BANDWIDTH
        self._methods.release()


@contextmanager
def _heap_left_alone() -> Iterator[None]:
    """The garbage collector passes over all that is there now: of PyTorch, half a million objects, 0.2 s each time."""
    if gc.get_freeze_count():  # somebody's own doing
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def taken(tree: Any, numbers: Sequence[int]) -> Any:
    """The tree of some problems of a batch."""
    return pytree.tree_map(lambda leaf: leaf[list(numbers)] if isinstance(leaf, Tensor) else leaf, tree)


def flattened(tree: Any, dims: int) -> Any:
    """The tree with its first dimensions, of which there are so many, as one."""
    return pytree.tree_map(lambda leaf: leaf.flatten(0, dims - 1) if isinstance(leaf, Tensor) else leaf, tree)
