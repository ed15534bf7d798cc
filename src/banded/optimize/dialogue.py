"""Algorithms and workspaces brought together: questions are carried over, and answers back."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from banded.hessian import Plan
from banded.matrix import Symmetric
from banded.optimize.newton import Globalisation, Iterate, Newton
from banded.optimize.questions import Asking, Kind, Question
from banded.optimize.workspace import Place, Workspace

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


def iterates(workspace: Workspace, algorithm: Asking[None]) -> Iterator[Iterate]:
    """The iterates of an algorithm for one problem; where they are is in the workspace."""
    question = next(algorithm, None)
    while question is not None:
        answer = None
        if question.kind is Kind.REPORT:
            assert isinstance(question.number, Iterate)
            yield question.number
        else:
            (answer,) = workspace.answer(question.kind, None, (question.number,))
        try:
            question = algorithm.send(answer)
        except StopIteration:
            return


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


class Crowd:
    """Algorithms for all problems of a workspace, whose questions of one kind are answered together.

    Args:
        workspace: with as many problems as algorithms.
        algorithms: one for each.
        report: called with the numbers of problems, their iterates and the workspace's rows of them, whenever such
            begin; returns which of the algorithms end.
    """

    def __init__(
        self,
        workspace: Workspace,
        algorithms: Sequence[Asking[None]],
        report: Callable[[Sequence[int], Sequence[Iterate], Sequence[int]], Sequence[bool]],
    ) -> None:
        self._workspace, self._report = workspace, report
        self._algorithms = list(algorithms)
        self._numbers = list(range(len(algorithms)))
        self._questions: list[Question | None] = [next(one) for one in algorithms]

    def run(self) -> None:
        """Until all have ended."""
        while True:
            kinds = [one.kind for one in self._questions if one is not None]
            if not kinds:
                return
            kind = min(kinds)
            rows = [row for row, one in enumerate(self._questions) if one is not None and one.kind is kind]
            if kind is Kind.REPORT:
                self._tell(rows)
            else:
                numbers = [self._questions[row].number for row in rows]  # type: ignore[union-attr]
                every = len(rows) == len(self._questions)
                answers = self._workspace.answer(
                    kind, None if every else torch.tensor(rows, device=self._workspace.p.device), numbers
                )
                for row, answer in zip(rows, answers, strict=True):
                    self._questions[row] = self._algorithms[row].send(answer)

    def _tell(self, rows: Sequence[int]) -> None:
        told = [self._questions[row].number for row in rows]  # type: ignore[union-attr]
        ends = self._report([self._numbers[row] for row in rows], told, rows)  # type: ignore[arg-type]
        for row, end in zip(rows, ends, strict=True):
            self._questions[row] = None if end else self._algorithms[row].send(None)
        going = [row for row, one in enumerate(self._questions) if one is not None]
        if going and len(going) < FULL * len(self._questions):
            self._workspace.drop(torch.tensor(going, device=self._workspace.p.device))
            self._algorithms = [self._algorithms[row] for row in going]
            self._numbers = [self._numbers[row] for row in going]
            self._questions = [self._questions[row] for row in going]
