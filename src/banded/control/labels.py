"""When and where unknowns and equations of a trajectory are, for messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from banded.hessian.layout import Layout

ROUNDING = 1e-9  # of normalised time


@dataclass(frozen=True, eq=False)
class Clock:
    """What nodes and times there are.

    Attributes:
        grid: `(T,)`: the nodes in normalised time s, from 0 to 1.
        start: time at the first node, which a tensor follows where it changes.
        duration: T, or None where it or the start is not known yet.
        phase: which one's they are, in words; empty where there is one only.
    """

    grid: Tensor
    start: float | Tensor
    duration: float | None
    phase: str = ""

    def node(self, s: float) -> int:
        """The last one that is not later."""
        return max(int(torch.searchsorted(self.grid, s + ROUNDING, right=True)) - 1, 0)

    def time(self, s: float) -> str:
        """In words: t = 0.74."""
        if self.duration is None:
            return f"at {100 * s:.3g} % of the duration"
        return f"t = {float(self.start + s * self.duration):.4g}"

    def told(self, what: str) -> str:
        """With the phase, if there are many."""
        return f"{self.phase}, {what}" if self.phase else what

    def place(self, s: float, word: str = "at") -> str:
        """In words: at node 37 (t = 0.74); where that is none, after it."""
        node = self.node(s)
        is_node = abs(float(self.grid[node]) - s) <= ROUNDING
        return f"{word if is_node else 'after'} node {node} ({self.time(s)})"


class Place(NamedTuple):
    """Whose unknown it is, when in normalised time, and in which phase; None where it is of all times, or phases."""

    name: str
    s: float | None = None
    phase: int | None = 0


@dataclass(frozen=True)
class Names(Layout):
    """The layout of the unknowns, with names for messages.

    Attributes:
        told: `(n,)`.
        clocks: the times of each phase.
    """

    told: tuple[Place, ...] = field(default=(), repr=False)
    clocks: tuple[Clock, ...] = field(default=(), repr=False)

    def label(self, number: int, value: float | None = None) -> str:
        """What an unknown is called, and what it is."""
        name, s, phase = self.told[number]
        name += "" if value is None else f" = {rounded(value)}"
        if phase is None:
            return name
        clock = self.clocks[phase]
        return clock.told(name if s is None else f"{name} {clock.place(s)}")

    def of(self, name: str) -> list[int]:
        """The unknowns of a name in a single phase, in the order of time."""
        found = [number for number, place in enumerate(self.told) if place.name == name]
        return sorted(found, key=lambda number: self.told[number].s or 0.0)


def places_of(n: int, of: Sequence[tuple[Tensor, Sequence[str], Tensor | None]], rest: str) -> tuple[Place, ...]:
    """A place for each of n unknowns.

    Args:
        n: how many.
        of: unknowns `(P, k)`, their k names, and s `(P,)`.
        rest: the name of all others.
    """
    told = [Place(rest)] * n
    for numbers, names, s in of:
        times: Sequence[float | None] = [None] * len(numbers) if s is None else s.tolist()
        for time, row in zip(times, numbers.tolist(), strict=True):
            for number, name in zip(row, names, strict=False):
                told[number] = Place(name, time)
    return tuple(told)


def rounded(number: float) -> str:
    """As people read it."""
    return "0" if abs(number) < 1e-12 else f"{number:.4g}"
