"""What solving a batch of control problems gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from banded.control.many import Many
from banded.control.picture import draw_many
from banded.optimize import Result, Results

if TYPE_CHECKING:
    from banded.canvas import Figure
    from banded.control.setup import Setup
    from banded.control.solution import Solution


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Solutions(Many["Solution"]):
    """The trajectories of B problems: a sequence of a `Solution` for each, and all of them together.

    `solutions[3]` is a `Solution`, made when it is first asked for; `solutions[2:5]` a tuple of them.

    Attributes:
        t: `(B, T)`: times of the nodes.
        x: `(B, T, nx)`: states there.
        u: `(B, T, nu)`: controls there.
        duration: `(B,)`.
        parameters: `(B, np)`.
        states, controls: names.
        scheme: the name of the scheme.
        result: all that the optimiser says.
        make: makes a solution of what it says of one problem.
        made: those that were asked for.
    """

    t: Tensor
    x: Tensor
    u: Tensor
    duration: Tensor
    parameters: Tensor
    states: tuple[str, ...]
    controls: tuple[str, ...]
    scheme: str

    def plot(self) -> Figure:
        """Draw the states and controls of all, those that were not solved in red.

        Raises:
            ModuleNotFoundError: where the extra `plot` is not installed.
        """
        return draw_many(self)


def solutions(setup: Setup, result: Results, make: Callable[[Result], Solution], start: Tensor) -> Solutions:
    """All problems on a grid, with `make` for single ones, which begin at `start` `(B,)`."""
    problem, found = setup.problem, setup.unpack(result.x)
    _, duration, parameters = problem.functions.split(found.shared)
    u = found.u if setup.scheme.at_nodes else torch.cat([found.middle_u, found.middle_u[:, -1:]], 1)
    return Solutions(
        t=start[:, None] + duration[:, None] * setup.grid,
        x=found.x,
        u=u,
        duration=duration,
        parameters=parameters,
        states=problem.states,
        controls=problem.controls,
        scheme=setup.scheme.name,
        result=result,
        make=make,
    )
