"""Finer grids where the error is large."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import isnan, nan
from typing import NamedTuple, TypeAlias, TypeVar

import torch
from torch import Tensor

from banded.control.phased import PhasedSolution
from banded.control.solution import Solution
from banded.errors import NonFiniteError
from banded.optimize import Status

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
        accuracy: largest error of an interval, relative; nan where functions are not finite at the guess.
        iterations: that it took.
        status: why it ended.
    """

    nodes: int
    accuracy: float
    iterations: int
    status: Status


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
        The solution on the finest grid that was solved, or on the first one, with all rounds; `missed` says why its
        accuracy falls short, where it does.
    """
    found, missed = solve(grids, None), ""
    rounds = [_round(grids, found)]
    while found.success and not found.accuracy <= accuracy and not missed:
        finer = tuple(
            _divided(grid, error, accuracy, defect, most) if len(grid) < most else grid
            for grid, error, defect in zip(grids, errors(found), defects, strict=True)
        )
        if missed := _limit(found, grids, finer, len(rounds), most):
            break
        later, ended = _tried(solve, finer, found)
        rounds.append(ended)
        if ended.status.success:
            grids, found = finer, later
        else:
            missed = f"the next grid, of {ended.nodes} nodes, ended as {ended.status.name}: this is the one before"
    return replace(found, rounds=tuple(rounds), asked=accuracy, missed=missed)


def _round(grids: Grids, found: Solution | PhasedSolution) -> Round:
    return Round(_nodes(grids), found.accuracy, found.iterations, found.status)


def _nodes(grids: Grids) -> int:
    return sum(map(len, grids))


def _tried(solve: Callable[[Grids, Found | None], Found], grids: Grids, earlier: Found) -> tuple[Found, Round]:
    """What finer grids make of an earlier solution, or that one where functions are not finite there."""
    try:
        found = solve(grids, earlier)
    except NonFiniteError:
        return earlier, Round(_nodes(grids), nan, 0, Status.NON_FINITE)
    return found, _round(grids, found)


def _limit(found: Solution | PhasedSolution, grids: Grids, finer: Grids, rounds: int, most: int) -> str:
    """What there is against another round, in words."""
    if isnan(found.accuracy):
        return "functions are not finite between the nodes, which leaves the error unknown"
    if _nodes(finer) == _nodes(grids):
        if any(most - len(grid) < MOST for grid in grids):
            return f"there may be no more nodes than max_nodes={most}"
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
