"""Equations that repeat from interval to interval, as rows of few unknowns and of outputs of stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from banded.control.stage import Stage


class Linear(NamedTuple):
    """Unknowns `(K, R)`, one in each row, and their coefficient."""

    columns: Tensor
    coefficient: float


class Term(NamedTuple):
    """Outputs of a stage in the rows of each unit.

    Attributes:
        stage: its number.
        points: `(K,)`: the point of the stage.
        first: the output that stands in the first row; the next one in the next.
        coefficients: `(K,)`.
    """

    stage: int
    points: Tensor
    first: int
    coefficients: Tensor


@dataclass(frozen=True, eq=False)
class Equations:
    """R rows in each of K units: Σ coefficient · unknown + Σ coefficient · output - right.

    Attributes:
        name: what they say.
        size: R.
        linear: in unknowns.
        terms: in outputs.
        right: `(K, R)`, or None for zero.
        rows: names of the R rows, for messages.
        times: `(K,)`: where in normalised time each unit is.
        inequality: whether they are to be >= 0, and not 0.
        at_ends: whether they speak of ends of phases alone, and not of the motion between.
        phase: the number of the phase whose they are; None where they join two.
    """

    name: str
    size: int
    linear: tuple[Linear, ...]
    terms: tuple[Term, ...]
    rows: tuple[str, ...]
    times: Tensor
    right: Tensor | None = None
    inequality: bool = False
    at_ends: bool = False
    phase: int | None = 0

    @property
    def count(self) -> int:
        """K."""
        return len(self.times)

    @property
    def total(self) -> int:
        """How many rows all units have."""
        return self.count * self.size

    def called(self, row: int) -> str:
        """What a row of a unit is called."""
        if self.rows[row].isdigit():
            return f"{self.name} {self.rows[row]}" if self.size > 1 else self.name
        return f"{self.name} of {self.rows[row]}"


@dataclass(frozen=True, eq=False)
class Slots:
    """Where the entries of the rows' Jacobian are.

    Attributes:
        columns: `(K, R, w)`: the unknowns.
        constant: `(R, w)`: their coefficients in the linear part.
        positions: for each term, `(na,)`: in which entries the arguments of its point stand, in every row.
    """

    columns: Tensor
    constant: Tensor
    positions: tuple[Tensor, ...]


def slots(equations: Equations, stages: Sequence[Stage]) -> Slots:
    """Find a place for each entry: those of one unknown are one."""
    shared: dict[bytes, int] = {}
    columns: list[Tensor] = []
    positions = []
    for term in equations.terms:
        places = stages[term.stage].places[term.points]
        positions.append(torch.tensor([_slot(shared, columns, one) for one in places.unbind(1)]))
    rows = []
    for i in range(equations.size):
        own, mine = dict(shared), list(columns)
        entries = [(_slot(own, mine, one.columns[:, i]), one.coefficient) for one in equations.linear]
        rows.append((mine, entries))
    width = max(len(mine) for mine, _ in rows)
    constant = torch.zeros(equations.size, width, dtype=torch.float64)
    for i, (mine, entries) in enumerate(rows):
        mine.extend(mine[:1] * (width - len(mine)))  # entries that stay zero
        for at, coefficient in entries:
            constant[i, at] += coefficient
    table = torch.stack([torch.stack(mine, 1) for mine, _ in rows], 1)
    return Slots(table, constant, tuple(positions))


def _slot(known: dict[bytes, int], columns: list[Tensor], column: Tensor) -> int:
    """The number of a column of unknowns `(K,)`; a new one if there is none."""
    key = np.ascontiguousarray(column.numpy()).tobytes()
    if key not in known:
        known[key] = len(columns)
        columns.append(column)
    return known[key]
