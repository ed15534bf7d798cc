"""What `Single` needs to know of a way to minimise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from banded.optimize.recorder import State
from banded.optimize.result import Status


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

    def is_better(self, state: State, best: State) -> bool:
        """Whether it would be handed out in place of another."""
        ...

    def outcome(self, state: State, status: Status) -> Outcome:
        """What there is to say at the end."""
        ...
