"""Finer grids where the error is large."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import isnan, nan
from typing import NamedTuple

import torch
from torch import Tensor

from banded.control.solution import Solution
from banded.errors import NonFiniteError
from banded.optimize import Status

ROUNDS = 12
MOST = 6  # parts of an interval in one round
AIM = 0.5  # share of the accuracy that is aimed at
LEAST = 1e-7  # length of an interval in s, below which it stays as it is


class Round(NamedTuple):
    """One solve on the way to an accuracy.

    Attributes:
        nodes: of its grid.
        accuracy: largest error of an interval, relative; nan where functions are not finite at the guess.
        iterations: that it took.
        status: why it ended.
    """

    nodes: int
    accuracy: float
    iterations: int
    status: Status


def refined(
    solve: Callable[[Tensor, Solution | None], Solution], grid: Tensor, accuracy: float, defect: int, most: int
) -> Solution:
    """Solve, divide the intervals whose error is too large, and solve again, until none is.

    An interval's error falls as h^defect, where the solution is smooth; where it is not, it takes more rounds.

    Args:
        solve: on a grid `(T,)` from 0 to 1, from an earlier solution.
        grid: the first one.
        accuracy: of each interval, relative.
        defect: of the scheme.
        most: nodes at most.

    Returns:
        The solution on the finest grid that was solved, or on the first one, with all rounds; `missed` says why its
        accuracy falls short, where it does.
    """
    found, missed = solve(grid, None), ""
    rounds = [Round(len(grid), found.accuracy, found.iterations, found.status)]
    while found.success and not found.accuracy <= accuracy and not missed:
        finer = _divided(grid, found.error, accuracy, defect, most)
        if missed := _limit(found, grid, finer, len(rounds), most):
            break
        later, ended = _tried(solve, finer, found)
        rounds.append(ended)
        if ended.status.success:
            grid, found = finer, later
        else:
            missed = f"the next grid, of {len(finer)} nodes, ended as {ended.status.name}: this is the one before"
    return replace(found, rounds=tuple(rounds), asked=accuracy, missed=missed)


def _tried(
    solve: Callable[[Tensor, Solution | None], Solution], grid: Tensor, earlier: Solution
) -> tuple[Solution, Round]:
    """What a finer grid makes of an earlier solution, or that one where functions are not finite there."""
    try:
        found = solve(grid, earlier)
    except NonFiniteError:
        return earlier, Round(len(grid), nan, 0, Status.NON_FINITE)
    return found, Round(len(grid), found.accuracy, found.iterations, found.status)


def _limit(found: Solution, grid: Tensor, finer: Tensor, rounds: int, most: int) -> str:
    """What there is against another round, in words."""
    if isnan(found.accuracy):
        return "functions are not finite between the nodes, which leaves the error unknown"
    if most - len(grid) < MOST and len(finer) == len(grid):
        return f"there may be no more nodes than max_nodes={most}"
    if len(finer) == len(grid):
        return "the intervals of large error are as short as can be: a jump or a kink of the dynamics is in them"
    return f"{ROUNDS} grids were not enough" if rounds == ROUNDS else ""


def _divided(grid: Tensor, error: Tensor, accuracy: float, defect: int, most: int) -> Tensor:
    """The grid with more nodes in intervals of large error; of the largest ones only, where nodes are few."""
    parts = (error.nan_to_num() / (AIM * accuracy)).clamp(min=1).pow(1 / defect).ceil().clamp(max=MOST)
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
