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

from banded.hessian import Plan
from banded.matrix import Symmetric
from banded.optimize.dialogue import Crowd, OfPlan
from banded.optimize.implicit import attach
from banded.optimize.limits import LONG, Limits, is_true
from banded.optimize.newton import Globalisation, Iterate, Newton
from banded.optimize.recorder import History, console, snapshot
from banded.optimize.result import Result, Results, Status, keep
from banded.optimize.workspace import Place, Workspace

Callback = Callable[[Any, Any], object]


class Batch:
    """A minimisation of many problems.

    Args:
        plan: of all of them, with one batch dimension.
        x: `(B, n)`, where they start.
        globalisation: of which each has a copy.
        limits: for each.
        progress: as in `minimize`.
        callback: called with all points and their records; ends all where it returns True.
        begun: when, by `time.perf_counter`, before the plan was made.
        before: the steps that each has behind it, which count.
        doubted: the plan was found, and is doubted where the way is long.

    Raises:
        NonFiniteError: if f or its gradient is not finite at a start.
    """

    def __init__(
        self,
        plan: Plan,
        x: Tensor,
        globalisation: Globalisation,
        limits: Limits,
        progress: bool | None,
        callback: Callback | None,
        *,
        begun: float,
        before: Sequence[int],
        doubted: bool,
    ) -> None:
        self._begun, self._planned = begun, time.perf_counter() - begun
        self._plan, self._limits, self._callback = plan, limits, callback
        self._before, self._doubted = before, doubted
        self._console = console(progress)
        self._workspace = Workspace.at(OfPlan(plan), x)
        self._histories = [History() for _ in range(len(x))]
        self._status: list[Status | None] = [None] * len(x)
        self._x = x.clone()
        self._ends: list[tuple[Tensor, Place]] = []  # which problems ended, and where
        eps = torch.finfo(x.dtype).eps
        starts = self._workspace.starts()
        algorithms = [Newton(globalisation.anew(), limits.tolerance, eps).run(start) for start in starts]
        self._crowd = Crowd(self._workspace, algorithms, self._report)

    def run(self) -> Results:
        """Until all have ended, or the user interrupts."""
        try:
            with _heap_left_alone():
                self._crowd.run()
            self._check_bands()
            return self._results(self._minima())
        except KeyboardInterrupt:
            if not all(history.records for history in self._histories):
                raise
            self._leave(Status.INTERRUPTED)
            return self._results(self._x)
        except Exception as error:
            if all(history.records for history in self._histories):
                self._leave(Status.INTERRUPTED)
                keep(error, self._results(self._x))
            raise
        finally:
            self._plan.select(None)

    def _results(self, x: Tensor) -> Results:
        seconds = time.perf_counter() - self._begun
        profile = {"plan": self._planned, **self._workspace.seconds}
        profile["the rest"] = seconds - sum(profile.values())
        one = replace(self._plan.layout, batch=torch.Size())
        results = []
        for point, status, history in zip(x, self._status, self._histories, strict=True):
            assert status is not None
            last = history.records[-1] if status.is_verdict else history.best
            results.append(
                Result(
                    x=one.unflatten(point),
                    value=last.value,
                    status=status,
                    iterations=history.steps,
                    evaluations=history.evaluations,
                    gradient_norm=last.gradient_norm,
                    seconds=seconds,
                    history=tuple(history.records),
                    profile=profile,
                )
            )
        return Results(self._plan.unflatten(x), tuple(results), seconds, profile)

    def _minima(self) -> Tensor:
        """`(B, n)`: where the problems ended, with derivatives where these are wanted."""
        ended = sum(len(numbers) for numbers, _ in self._ends)
        if not self._limits.graph or ended < len(self._x):
            return self._x
        status = tuple(one or Status.INTERRUPTED for one in self._status)
        return attach(self._plan, self._x, self._hessians(), status)[0]

    def _hessians(self) -> Symmetric:
        """Where each problem ended."""
        numbers = torch.cat([numbers for numbers, _ in self._ends])
        order = numbers.argsort()
        tensors = zip(*(place.H.tensors for _, place in self._ends), strict=True)
        return self._workspace.here.H.with_tensors(tuple(torch.cat(parts)[order] for parts in tensors))

    def _report(self, numbers: Sequence[int], iterates: Sequence[Iterate], rows: Sequence[int]) -> Sequence[bool]:
        now = time.perf_counter() - self._begun
        live = [place for place, number in enumerate(numbers) if self._status[number] is None]
        for place in live:
            number, history = numbers[place], self._histories[numbers[place]]
            history.add(snapshot(iterates[place]), now)
            limit = self._limits.reached(self._steps(number), self._plan.n, now)
            self._status[number] = iterates[place].status or limit
        self._doubt(numbers, rows)
        better = [place for place in live if self._counts(numbers[place])]
        self._x[self._index(numbers, better)] = self._workspace.here.x[self._index(rows, better)]
        if live:
            self._tell(now)
        ended = [place for place, number in enumerate(numbers) if self._status[number] is not None]
        if ended:
            self._ends.append((self._index(numbers, ended), self._workspace.here.take(self._index(rows, ended))))
        return [self._status[number] is not None for number in numbers]

    def _index(self, numbers: Sequence[int], places: Sequence[int]) -> Tensor:
        """Some of the numbers, as an index."""
        return torch.tensor([numbers[place] for place in places], dtype=torch.long, device=self._x.device)

    def _counts(self, number: int) -> bool:
        """Whether a problem is where it would end now: at its last point by a verdict, else at its best."""
        status, history = self._status[number], self._histories[number]
        return (status is not None and status.is_verdict) or history.records[-1].value <= history.best.value

    def _tell(self, now: float) -> None:
        """Show progress, and call back."""
        if self._console is not None:
            steps = max(history.steps for history in self._histories)
            ended = sum(status is not None for status in self._status)
            self._console.print(f"{steps:5d} steps  {ended} of {len(self._status)} ended  {now:8.3f} s", soft_wrap=True)
        if self._callback is not None and all(history.records for history in self._histories):
            records = [history.records[-1] for history in self._histories]
            self._plan.select(None)  # should it be called
            if is_true(self._callback(self._plan.unflatten(self._x.clone()), records)):
                self._leave(Status.STOPPED)

    def _steps(self, number: int) -> int:
        """Of a problem, with those before."""
        return self._before[number] + self._histories[number].steps

    def _doubt(self, numbers: Sequence[int], rows: Sequence[int]) -> None:
        """After many steps, whether f couples unknowns that it did not at the start; those where it does end here."""
        due = [
            place
            for place, number in enumerate(numbers)
            if self._doubted and self._status[number] is None and self._steps(number) in LONG
        ]
        if due:
            self._plan.select(self._index(numbers, due))
            here = self._workspace.here.take(self._index(rows, due))
            for place, leak in zip(due, self._plan.leaks(here.x, here.H).tolist(), strict=True):
                if leak:
                    self._status[numbers[place]] = Status.BANDWIDTH

    def _leave(self, status: Status) -> None:
        """All that go on end where they are."""
        self._status = [one or status for one in self._status]

    def _check_bands(self) -> None:
        """Whether f couples unknowns at the end that it did not at the start."""
        for numbers, place in self._ends:
            self._plan.select(numbers)
            for number, leak in zip(numbers.tolist(), self._plan.leaks(place.x, place.H).tolist(), strict=True):
                status = self._status[number]
                if leak and status is not None and status.is_verdict:
                    self._status[number] = Status.BANDWIDTH
        self._plan.select(None)


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
