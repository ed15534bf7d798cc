"""Algorithms and workspaces brought together: questions are carried over, and answers back."""

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor

from banded.hessian import Plan
from banded.matrix import Symmetric
from banded.optimize.interior.questions import Inquiry
from banded.optimize.newton import Globalisation, Iterate, Newton, Run
from banded.optimize.questions import Question
from banded.optimize.workspace import Place, Workspace

Algorithm: TypeAlias = Generator[Any, Any, Any]
"""Asks questions, and yields iterates in between."""

FULL = 0.8  # share of the problems in a workspace that go on, below which the others are dropped


class OfPlan:
    """The function of a plan: of one problem, as a batch of one, or of many."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._single = not plan.layout.batch

    def evaluate(self, x: Tensor, numbers: Tensor | None) -> tuple[Tensor, Tensor, Symmetric]:
        """Values `(A,)`, gradients `(A, n)` and Hessians at `x` `(A, n)`."""
        if not self._single:
            self._plan.select(numbers)
            return self._plan.evaluate(x)
        value, gradient, H = self._plan.evaluate(x[0])
        return value[None], gradient[None], H.with_tensors(tuple(one[None] for one in H.tensors))

    def values(self, x: Tensor, numbers: Tensor | None) -> Tensor:
        """Values `(A,)` alone."""
        if self._single:
            return self._plan.value_at(x[0])[None]
        self._plan.select(numbers)
        return self._plan.value_at(x)


def iterates(workspace: Workspace, algorithm: Run) -> Iterator[Iterate]:
    """The iterates of an algorithm for one problem; where they are is in the workspace."""
    answer = None
    while True:
        try:
            asked = algorithm.send(answer)
        except StopIteration:
            return
        if isinstance(asked, Iterate):
            answer = None
            yield asked
        else:
            (answer,) = workspace.answer(asked.kind, None, (asked.number,))


def newton(
    plan: Plan, x: Tensor, globalisation: Globalisation, tolerance: float, profile: dict[str, float]
) -> Iterator[tuple[Iterate, Place]]:
    """Iterates of Newton's method from `x` `(n,)`, and where they are; what they take is added to `profile`.

    Raises:
        NonFiniteError: if f or its gradient is not finite at `x`.
    """
    workspace = Workspace.at(OfPlan(plan), x[None], profile)
    (start,) = workspace.starts()
    for iterate in iterates(workspace, Newton(globalisation, tolerance, torch.finfo(x.dtype).eps).run(start)):
        yield iterate, workspace.here


class Desk(Protocol):
    """Answers the questions of all problems that go on.

    Attributes:
        seconds: spent so far, by what for.
    """

    seconds: dict[str, float]

    @property
    def device(self) -> torch.device:
        """Of all tensors."""
        ...

    def answer(self, kind: Any, rows: Tensor | None, numbers: Sequence[Any]) -> Sequence[Any]:
        """The answers to questions of one kind from the problems in some rows; all of them if None."""
        ...

    def drop(self, kept: Tensor) -> None:
        """Keep the problems in these rows only."""
        ...


class Crowd:
    """Algorithms for all problems of a workspace, whose questions of one kind are answered together.

    Args:
        workspace: with as many problems as algorithms.
        algorithms: one for each.
        report: called with the numbers of problems, their iterates and the workspace's rows of them, whenever such
            begin; returns which of the algorithms end.
        in_step: whether all are to make their steps together; else nobody waits for the slowest line search.
    """

    def __init__(
        self,
        workspace: Desk,
        algorithms: Sequence[Algorithm],
        report: Callable[[Sequence[int], Sequence[Any], Sequence[int]], Sequence[bool]],
        in_step: bool,
    ) -> None:
        self._workspace, self._report, self._in_step = workspace, report, in_step
        self._algorithms = list(algorithms)
        self._numbers = list(range(len(algorithms)))
        self._questions: dict[int, Any] = {}  # by row: those that wait for an answer
        self._iterates: dict[int, Any] = {}  # by row: those that nobody was told of
        for row in range(len(algorithms)):
            self._send(row, None)

    def run(self) -> None:
        """Until all have ended."""
        while self._iterates or self._questions:
            if self._iterates:
                self._tell()
            else:
                self._answer()

    def _send(self, row: int, answer: object) -> None:
        """Answer an algorithm, and keep what it says to that."""
        said = self._algorithms[row].send(answer)
        if isinstance(said, Question | Inquiry):
            self._questions[row] = said
        else:
            self._iterates[row] = said

    def _answer(self) -> None:
        waiting = Counter(one.kind for one in self._questions.values())
        kind = min(waiting) if self._in_step else min(waiting, key=lambda one: (-waiting[one], one))
        rows = sorted(row for row, one in self._questions.items() if one.kind == kind)
        numbers = [self._questions.pop(row).number for row in rows]
        every = len(rows) == len(self._algorithms)
        answers = self._workspace.answer(kind, None if every else self._index(rows), numbers)
        for row, answer in zip(rows, answers, strict=True):
            self._send(row, answer)

    def _tell(self) -> None:
        told = dict(sorted(self._iterates.items()))
        rows = list(told)
        self._iterates.clear()
        ends = self._report([self._numbers[row] for row in rows], list(told.values()), rows)
        for row, end in zip(rows, ends, strict=True):
            if not end:
                self._send(row, None)
        going = sorted([*self._questions, *self._iterates])
        if going and len(going) < FULL * len(self._algorithms):
            self._drop(going)

    def _drop(self, going: Sequence[int]) -> None:
        """Keep these rows, all that go on, and count them anew."""
        self._workspace.drop(self._index(going))
        self._algorithms = [self._algorithms[row] for row in going]
        self._numbers = [self._numbers[row] for row in going]
        new = {row: place for place, row in enumerate(going)}
        self._questions = {new[row]: one for row, one in self._questions.items()}
        self._iterates = {new[row]: one for row, one in self._iterates.items()}

    def _index(self, rows: Sequence[int]) -> Tensor:
        return torch.tensor(rows, device=self._workspace.device)
