"""Finer grids where the error is large."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeAlias, TypeVar

import torch
from torch import Tensor

from banded.control.phased import PhasedSolution
from banded.control.solution import Solution

Grids: TypeAlias = tuple[Tensor, ...]
Found = TypeVar("Found", Solution, PhasedSolution)
ROUNDS = 12
MOST = 6  # parts of an interval in one round
AIM = 0.5  # share of the accuracy that is aimed at
LEAST = 1e-7  # length of an interval in s, below which it stays as it is


class Round(NamedTuple):
    """One solve on the way to an accuracy.

    Attributes:
        nodes: of its grid.
        accuracy: largest error of an interval, relative.
        iterations: that it took.
    """

    nodes: int
    accuracy: float
    iterations: int


def refined(
    solve: Callable[[Grids, Found | None], Found],
    errors: Callable[[Found], Sequence[Tensor]],
    grids: Grids,
    accuracy: float,
    defects: Sequence[int],
    most: int,
) -> Found:
    """Solve, divide the intervals whose error is too large, and solve again, until none is.

    An interval's error falls as h^defect, where the solution is smooth; where it is not, it takes more rounds.

    Args:
        solve: on grids `(T,)` from 0 to 1, one for each phase, from an earlier solution.
        errors: of the intervals of each phase.
        grids: the first ones.
        accuracy: of each interval, relative.
        defects: of the schemes.
        most: nodes at most, of each phase.

    Returns:
        The last solution, with all rounds; its accuracy may fall short where the nodes were too few.
    """
    found, rounds = solve(grids, None), []
    while True:
        rounds.append(Round(sum(map(len, grids)), found.accuracy, found.iterations))
        if not found.success or found.accuracy <= accuracy or len(rounds) == ROUNDS:
            break
        finer = tuple(
            _divided(grid, error, accuracy, defect, most) if len(grid) < most else grid
            for grid, error, defect in zip(grids, errors(found), defects, strict=True)
        )
        if sum(map(len, finer)) == sum(map(len, grids)):
            break
        grids, found = finer, solve(finer, found)
    return replace(found, rounds=tuple(rounds))


def _divided(grid: Tensor, error: Tensor, accuracy: float, defect: int, most: int) -> Tensor:
    """The grid with more nodes in intervals of large error; of the largest ones only, where nodes are few."""
    parts = (error / (AIM * accuracy)).clamp(min=1).pow(1 / defect).ceil().clamp(max=MOST)
    parts = torch.where((error > accuracy) & (grid.diff() > LEAST), parts.clamp(min=2), 1).long()
    room = most - len(grid)
    order_of = error.argsort(descending=True)
    added = (parts[order_of] - 1).cumsum(0)
    parts[order_of[added > room]] = 1
    pieces = [
        start + (end - start) * torch.arange(count, dtype=grid.dtype) / count
        for start, end, count in zip(grid[:-1], grid[1:], parts.tolist(), strict=True)
    ]
    return torch.cat([*pieces, grid[-1:]])
