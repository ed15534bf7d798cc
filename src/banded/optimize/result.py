"""What a minimisation gives back: the point, how it went, and advice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from banded.hessian import Tree
from banded.optimize.conditions import Conditions, Multipliers
from banded.optimize.drawing import draw_result, draw_results

if TYPE_CHECKING:
    from banded.canvas import Figure


class Status(Enum):
    """Why a minimisation stopped; the value is advice."""

    CONVERGED = "The conditions of a minimum are met within the tolerance: x is one to that accuracy."
    PRECISION = (
        "No step changes f by more than its rounding errors, so the gradient is as small as this dtype allows here. "
        "x is as good as it gets; for a smaller gradient use float64 or scale f, else raise the tolerance. "
        "With constraints, it may be that these have no finite multipliers at x, where they touch each other."
    )
    SADDLE = (
        "The gradient is as small as asked, or as rounding allows, and f curves downwards along some direction, but "
        "does not decrease along it: x is no minimum. f may be hidden by its rounding errors: use float64, or "
        "start from a point moved a little at random."
    )
    MAX_ITERATIONS = (
        "The iteration limit came first; x is the best point so far. "
        "Start again from it, or raise max_iterations; a better start, better scaled unknowns "
        "or an f without kinks (abs, relu, max) need fewer."
    )
    LINE_SEARCH = (
        "No point along the step has a lower f, though the gradient promises one. "
        "f may have a kink (abs, relu, max, clamp): smooth it, as sqrt(x**2 + small) does abs(x); "
        "or draw random numbers (dropout): fix them; or have a wrong custom derivative: try torch.autograd.gradcheck. "
        "With constraints, these may just not be possible together, or nearly so: look at what is violated, or start "
        "elsewhere."
    )
    UNBOUNDED = "f falls without limit along the steps. Look for a sign error or a missing term, or bound the unknowns."
    NON_FINITE = (
        "However short the step, f or its derivatives are not finite there; x is the last good point. "
        "Look for sqrt, norm or division at the edge of its domain, and add a small positive number inside."
    )
    INFEASIBLE = (
        "The constraints cannot be met near x: no small change of x brings it closer to meeting them all. "
        "Look at the one that is violated most, for contradictions, a bound too tight, or start elsewhere."
    )
    BANDWIDTH = (
        "At x, f couples unknowns that the band does not hold: the steps were not Newton's, and nobody knows whether "
        "x is a minimum. Leave bandwidth out, or pass a larger one; with a Plan, make it anew at x."
    )
    MAX_SECONDS = (
        "The time limit came first; x is the best point so far. Start again from it, raise max_seconds, or compile f."
    )
    STOPPED = "The callback asked to stop; x is the best point so far, and minimize(f, result.x) goes on from it."
    INTERRUPTED = "Stopped by the user; x is the best point so far, and minimize(f, result.x) goes on from it."

    def __repr__(self) -> str:  # without the advice, which would fill lists of them
        return str(self)

    @property
    def success(self) -> bool:
        """Whether x is a minimum, as nearly as asked or as rounding allows."""
        return self in (Status.CONVERGED, Status.PRECISION)

    @property
    def is_verdict(self) -> bool:
        """Whether it says something of x, and so of the band there, and not only of the way to it."""
        return self in (
            Status.CONVERGED,
            Status.PRECISION,
            Status.SADDLE,
            Status.LINE_SEARCH,
            Status.INFEASIBLE,
            Status.BANDWIDTH,
        )

    @property
    def is_of_last(self) -> bool:
        """Whether it speaks of the last point; where it does not, the best one is handed out."""
        return self.is_verdict and self is not Status.LINE_SEARCH


class Record(NamedTuple):
    """One iteration, as a row of `result.history`.

    Attributes:
        iteration: Newton steps taken so far.
        value: f at this iterate, without penalty terms.
        gradient_norm: largest absolute entry of the gradient (of the scaled
            Lagrangian, where there are constraints).
        step: length of the step that led here, 1 for a full Newton step, 0 where none
            did: at the start.
        shift: what was added to the diagonal of H to leave from here; with constraints, to come here.
        evaluations: function evaluations so far, with and without derivatives.
        seconds: since the start.
        violation: largest absolute constraint residual, or None without constraints, as all that follow.
        barrier: μ.
        dual_step: how much of the step the multipliers of the bounds took.
        length: largest absolute entry of the step, slacks included.
        trials: points tried on the way here.
        restoration: whether this is an iterate of restoration, which looks for points that meet the constraints.
    """

    iteration: int
    value: float
    gradient_norm: float
    step: float
    shift: float
    evaluations: int
    seconds: float
    violation: float | None = None
    barrier: float | None = None
    dual_step: float | None = None
    length: float | None = None
    trials: int | None = None
    restoration: bool = False


@dataclass(frozen=True, eq=False)
class Result:
    """The outcome of `minimize`.

    Attributes:
        x: the best point, a pytree like the start.
        value: f(x).
        status: why it stopped; `status.value` is advice, `status.success` says
            whether x is a minimum.
        iterations: Newton steps taken.
        evaluations: function evaluations, with and without derivatives.
        gradient_norm: largest absolute entry of the gradient at x (of the
            Lagrangian, where there are constraints).
        seconds: wall-clock time, with that for the plan; of a batch, until all that shared its steps had ended.
        profile: those seconds by what they were spent on: "derivatives" (products), "values" (of f alone, for line
            searches), "linear algebra" (factor and solve), "plan", "the rest"; of a batch, together.
        history: one `Record` per iterate, the start included.
        multipliers: of constraints and bounds, or None where there are none.
        violation: by how much a constraint or a bound is violated at most, or None.
        conditions: constraints and bounds at x, one by one, or None.
    """

    x: Tree = field(repr=False)
    value: float
    status: Status
    iterations: int
    evaluations: int
    gradient_norm: float
    seconds: float
    history: tuple[Record, ...] = field(repr=False)
    profile: dict[str, float] = field(default_factory=dict, repr=False)
    multipliers: Multipliers | None = field(default=None, repr=False)
    violation: float | None = None
    conditions: Conditions | None = field(default=None, repr=False)

    @property
    def success(self) -> bool:
        """Whether x is a minimum, as nearly as asked or as rounding allows."""
        return self.status.success

    def followed_by(self, later: Result) -> Result:
        """This and one that went on from its end, as one."""
        moved = tuple(
            record._replace(
                iteration=self.iterations + record.iteration,
                evaluations=self.evaluations + record.evaluations,
                seconds=self.seconds + record.seconds,
            )
            for record in later.history[1:]
        )
        return replace(
            later,
            iterations=self.iterations + later.iterations,
            evaluations=self.evaluations + later.evaluations,
            seconds=self.seconds + later.seconds,
            history=self.history + moved,
        )

    def plot(self) -> Figure:
        """Draw how value and gradient fell, the steps, and what took the time.

        Raises:
            ModuleNotFoundError: where the extra `plot` is not installed.
        """
        return draw_result(self)

    def explain(self) -> str:
        """In words: why it stopped, which constraints are active, which cost most, and which are violated."""
        lines = [self._summary()]
        if self.conditions is not None:
            lines += self.conditions.sentences(feasible=self.status is not Status.INFEASIBLE)
        elif self.violation is not None:
            lines.append(f"Which constraints are met was not looked at; the largest violation is {self.violation:.3g}.")
        else:
            lines.append(f"There are no constraints; the largest entry of the gradient is {self.gradient_norm:.3g}.")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self._summary() + self._culprit()

    def _summary(self) -> str:
        constraint = "" if self.violation is None else f", violation {self.violation:.1e}"
        return (
            f"{self.status.name.lower().replace('_', ' ')}: f = {self.value:.10g}, gradient {self.gradient_norm:.1e}"
            f"{constraint}; {self.iterations} iterations, {self.evaluations} evaluations, {self.seconds:.3g} s\n"
            f"{self.status.value}"
        )

    def _culprit(self) -> str:
        """The constraint that cannot be met."""
        if self.status is not Status.INFEASIBLE or self.conditions is None:
            return ""
        name, number = self.conditions.worst(1)[0]
        return f"\nViolated most: {name}, by {number:.3g}."


@dataclass(frozen=True, eq=False, repr=False)
class Results(Sequence[Result]):
    """The outcomes of a batch of B problems: a sequence of a `Result` for each, and all of them together.

    `results[3]` is a `Result`, `results[2:5]` a tuple of them; what is of all, such as `results.value`, is a tensor.

    Attributes:
        x: the best points, a pytree like the starts.
        each: the outcomes of the single problems; batch dimensions are counted row by row.
        seconds: wall-clock time of all.
        profile: those seconds by what they were spent on.
    """

    x: Tree
    each: tuple[Result, ...]
    seconds: float
    profile: dict[str, float]

    def __len__(self) -> int:
        return len(self.each)

    @overload
    def __getitem__(self, index: int) -> Result: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Result, ...]: ...

    def __getitem__(self, index: int | slice) -> Result | tuple[Result, ...]:
        return self.each[index]

    def __iter__(self) -> Iterator[Result]:
        return iter(self.each)

    def replaced(self, numbers: Sequence[int], later: Results) -> Results:
        """With what went on of some problems."""
        each = list(self.each)
        for number, after in zip(numbers, later.each, strict=True):
            each[number] = each[number].followed_by(after)
        profile = {name: self.profile.get(name, 0.0) + seconds for name, seconds in later.profile.items()}
        return Results(
            self._with(numbers, later.x), tuple(each), self.seconds + later.seconds, {**self.profile, **profile}
        )

    def interrupted(self, numbers: Sequence[int]) -> Results:
        """Where some problems were to go on, and did not."""
        each = list(self.each)
        for number in numbers:
            each[number] = replace(each[number], status=Status.INTERRUPTED)
        return replace(self, each=tuple(each))

    def tell(self, callback: Callable[[Any, Any], object], numbers: Sequence[int], x: Tree, records: Any) -> object:
        """Call back with all problems, of which only some go on."""
        last = [one.history[-1] for one in self.each]
        for number, record in zip(numbers, records, strict=True):
            last[number] = record
        return callback(self._with(numbers, x), last)

    def _with(self, numbers: Sequence[int], x: Tree) -> Tree:
        """The points, some of them replaced."""

        def one(all_of: Tensor, some: Tensor) -> Tensor:
            return all_of.index_copy(0, torch.tensor(numbers, device=all_of.device), some)

        return pytree.tree_map(one, self.x, x)

    @property
    def value(self) -> Tensor:
        """`(B,)`: f at each x."""
        return torch.tensor([one.value for one in self], dtype=torch.float64)

    @property
    def status(self) -> tuple[Status, ...]:
        """Why each stopped."""
        return tuple(one.status for one in self)

    @property
    def success(self) -> Tensor:
        """`(B,)`: whether each x is a minimum, as nearly as asked or as rounding allows."""
        return torch.tensor([one.success for one in self])

    @property
    def iterations(self) -> Tensor:
        """`(B,)`: Newton steps of each."""
        return torch.tensor([one.iterations for one in self])

    @property
    def gradient_norm(self) -> Tensor:
        """`(B,)`: largest absolute entry of the gradient at each x."""
        return torch.tensor([one.gradient_norm for one in self], dtype=torch.float64)

    def plot(self) -> Figure:
        """Draw the gradients of all problems, how many steps they took, and what took the time.

        Raises:
            ModuleNotFoundError: where the extra `plot` is not installed.
        """
        return draw_results(self)

    def __repr__(self) -> str:
        return f"<Results of {len(self)} problems, {int(self.success.sum())} of them solved>"

    def __str__(self) -> str:
        counts = Counter(self.status)
        steps = [one.iterations for one in self]
        names = {status: status.name.lower().replace("_", " ") for status in counts}
        words = ", ".join(f"{count} {names[status]}" for status, count in counts.most_common())
        advice = "\n".join(f"{names[status]}: {status.value}" for status, _ in counts.most_common())
        return f"{words}; {min(steps)} to {max(steps)} iterations, {self.seconds:.3g} s\n{advice}"


def keep(error: Exception, result: Result | Results) -> None:
    """Hand out with an error what was found before it."""
    vars(error)["result"] = result
    note = "banded: the best point so far is in the attribute `result` of this error"
    if note not in getattr(error, "__notes__", ()):
        error.add_note(note)
