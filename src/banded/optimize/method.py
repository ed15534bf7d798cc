"""What `Single` and `Batch` need to know of a way to minimise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from banded.hessian import Layout
from banded.optimize.dialogue import Algorithm, Desk
from banded.optimize.recorder import Merit, Snapshot, State
from banded.optimize.result import Record, Status


class Outcome(NamedTuple):
    """What a method says of the point where it ended, beyond what iterates tell.

    Attributes:
        x: `(n,)`, with derivatives where these are wanted.
        evaluations: made for that.
        told: further fields of the result.
    """

    x: Tensor
    evaluations: int
    told: dict[str, Any]


class Method(Protocol):
    """A way to minimise one problem, with a plan of its derivatives.

    Attributes:
        seconds: spent so far, by what for.
    """

    seconds: dict[str, float]

    @property
    def renewable(self) -> bool:
        """Whether the plan may be made anew elsewhere: it was not given."""
        ...

    def states(self) -> Iterator[State]:
        """The iterates; the last one has a status, and comes once more where that shows late."""
        ...

    def leaks(self, state: State) -> bool:
        """Whether unknowns are coupled there that the plan knows nothing of."""
        ...

    def anew(self, state: State) -> Method | None:
        """The method with a plan made there, or None where it is not renewable."""
        ...

    def merit(self, one: Snapshot | Record) -> Merit:
        """By which points are compared: the one with the least is handed out."""
        ...

    def outcome(self, state: State, status: Status) -> Outcome:
        """What there is to say at the end."""
        ...


class Methods(Protocol):
    """A way to minimise many problems at once, with a plan of all their derivatives.

    Attributes:
        layout: of the unknowns, with one batch dimension.
        start: `(B, n)`.
        workspace: which answers the questions of all.
        algorithms: one for each.
    """

    layout: Layout
    start: Tensor
    workspace: Desk
    algorithms: Sequence[Algorithm]

    def snapshot(self, iterate: Any) -> Snapshot:
        """What an iterate tells."""
        ...

    def merit(self, one: Snapshot | Record) -> Merit:
        """By which points are compared: the one with the least is handed out."""
        ...

    def points(self, iterates: Sequence[Any], rows: Tensor) -> Tensor:
        """`(A, n)`: where the iterates are, of the problems in some rows of the workspace."""
        ...

    def places(self, rows: Tensor) -> Any:
        """What is known there."""
        ...

    def keep(self, numbers: Tensor, rows: Tensor) -> None:
        """Remember what is known there, of the problems of these numbers: it may be that they have no better point."""
        ...

    def leaks(self, x: Tensor, places: Any, numbers: Tensor) -> Sequence[float]:
        """What is coupled at `x` `(A, n)`, of the problems of these numbers, that the plan knows nothing of."""
        ...

    def outcome(self, x: Tensor, ends: Sequence[tuple[Tensor, Any]], status: Sequence[Status]) -> Outcomes:
        """What there is to say at the end.

        Args:
            x: `(B, n)`: the points that are handed out.
            ends: numbers of problems, and what was known where they ended.
            status: of each.
        """
        ...

    def release(self) -> None:
        """All problems are to be evaluated again."""
        ...


class Outcomes(NamedTuple):
    """What a method says of the points where problems ended.

    Attributes:
        x: `(B, n)`, with derivatives where these are wanted.
        told: further fields of each result.
    """

    x: Tensor
    told: Sequence[dict[str, Any]]
