"""What solving a batch of control problems gives back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, overload

import torch
from torch import Tensor

from banded.control.picture import draw_many
from banded.optimize import Result, Results, Status

if TYPE_CHECKING:
    from banded.canvas import Figure
    from banded.control.setup import Setup
    from banded.control.solution import Solution


@dataclass(frozen=True, eq=False, repr=False)
class Solutions(Sequence["Solution"]):
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
    result: Results
    make: Callable[[Result], Solution]
    made: dict[int, Solution] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.x)

    @overload
    def __getitem__(self, index: int) -> Solution: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Solution, ...]: ...

    def __getitem__(self, index: int | slice) -> Solution | tuple[Solution, ...]:
        numbers = range(len(self))[index]
        if isinstance(numbers, range):
            return tuple(self[number] for number in numbers)
        if numbers not in self.made:
            self.made[numbers] = self.make(self.result[numbers])
        return self.made[numbers]

    def __iter__(self) -> Iterator[Solution]:
        return (self[number] for number in range(len(self)))

    @property
    def cost(self) -> Tensor:
        """`(B,)`."""
        return self.result.value

    @property
    def status(self) -> tuple[Status, ...]:
        """Why each ended."""
        return self.result.status

    @property
    def success(self) -> Tensor:
        """`(B,)`: whether each is a minimum, as nearly as asked or as rounding allows."""
        return self.result.success

    @property
    def iterations(self) -> Tensor:
        """`(B,)`."""
        return self.result.iterations

    @property
    def seconds(self) -> float:
        """What all took together."""
        return self.result.seconds

    def plot(self) -> Figure:
        """Draw the states and controls of all, those that were not solved in red.

        Raises:
            ModuleNotFoundError: where the extra `plot` is not installed.
        """
        return draw_many(self)

    def __repr__(self) -> str:
        return f"<Solutions of {len(self)} problems, {int(self.success.sum())} of them solved>"

    def __str__(self) -> str:
        counts = Counter(self.status)
        words = ", ".join(f"{count} {one.name.lower().replace('_', ' ')}" for one, count in counts.most_common())
        low, high = float(self.cost.min()), float(self.cost.max())
        steps = self.iterations
        return (
            f"{words}; cost {low:.6g} to {high:.6g}, {int(steps.min())} to {int(steps.max())} iterations, "
            f"{self.seconds:.3g} s"
        )


def solutions(setup: Setup, result: Results, make: Callable[[Result], Solution]) -> Solutions:
    """All problems on a grid, with `make` for single ones."""
    problem, found = setup.problem, setup.unpack(result.x)
    start, duration, parameters = problem.functions.split(found.shared)
    u = found.u if setup.scheme.at_nodes else torch.cat([found.middle_u, found.middle_u[:, -1:]], 1)
    return Solutions(
        t=torch.as_tensor(start).expand_as(duration)[:, None] + duration[:, None] * setup.grid,
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
