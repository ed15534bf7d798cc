"""Equations of two states at ends of phases: the same state twice, or a function of both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from banded.control.equations import Equations, Linear, Term
from banded.control.functions import NodeFunction
from banded.control.stage import Stage

STEPS = 8  # of Newton's method


@dataclass(frozen=True, eq=False)
class Link:
    """What the last state of a phase and the first one of the next have to do with each other.

    Attributes:
        same: numbers of states `(L, 2)` that are continuous, before and after.
        names: of these `(L,)`.
        function: what is to be 0, of both states, or None.
        size: how many numbers it returns.
        told: where it is, for messages.
    """

    same: Tensor
    names: tuple[str, ...]
    function: NodeFunction | None = None
    size: int = 0
    told: str = ""

    def follow(self, end: Tensor, planned: Tensor, t: Tensor, p: Tensor) -> Tensor:
        """The state `(nx,)` in which the next phase begins, next to a planned one, where the last one ended in `end`.

        For a function, by Newton's method: the shortest steps that make it 0.
        """
        start = planned.clone()
        if self.function is None:
            start[self.same[:, 1]] = end[self.same[:, 0]]
            return start
        function = self.function
        for _ in range(STEPS if bool(end.isfinite().all()) else 0):
            slope = torch.func.jacrev(lambda x: function(end, x, t=t, p=p))(start)
            start = start - torch.linalg.pinv(slope) @ function(end, start, t=t, p=p)
        return start if bool(end.isfinite().all()) else torch.full_like(start, torch.nan)


def same(name: str, names: Sequence[str], plus: Tensor, minus: Tensor, times: Tensor) -> Equations:
    """One state `(1, R)` is another one."""
    linear = (Linear(plus, 1.0), Linear(minus, -1.0))
    return Equations(name, len(names), linear, (), tuple(names), times, at_ends=True)


def tie(
    name: str,
    function: Callable[[Tensor, Tensor], Tensor],
    places: Tensor,
    size: int,
    number: int,
    given: str,
    times: Tensor,
) -> tuple[Stage, Equations]:
    """A function of ends, whose outputs are to be 0.

    Args:
        name: of the equations.
        function: takes arguments `(na,)` and data `(0,)`, returns `(size,)`.
        places: `(1, na)`: the unknowns that are its arguments.
        size: how many numbers it returns.
        number: of the stage that is made of it.
        given: the argument that it was given as.
        times: `(1,)`: where it is.
    """
    none, one = torch.zeros(1, 0, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    weights, told = torch.zeros(1, size, dtype=torch.float64), tuple(f"{given}, number {i}" for i in range(size))
    stage = Stage(name, function, places, none, size, weights, told, at_ends=True)
    term = Term(number, torch.zeros(1, dtype=torch.long), 0, one)
    return stage, Equations(name, size, (), (term,), tuple(map(str, range(size))), times, at_ends=True)
