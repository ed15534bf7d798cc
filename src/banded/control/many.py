"""The outcomes of a batch, made one by one as they are asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar, overload

from torch import Tensor

from banded.optimize import Result, Results, Status

Found = TypeVar("Found")


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Many(Sequence[Found], Generic[Found]):
    """What was found for B problems: a sequence of what there is to say of each, and what holds of all.

    Attributes:
        result: all that the optimiser says.
        make: makes of what it says of one problem what there is to say.
        made: those that were asked for.
    """

    result: Results
    make: Callable[[Result], Found]
    made: dict[int, Found] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.result)

    @overload
    def __getitem__(self, index: int) -> Found: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Found, ...]: ...

    def __getitem__(self, index: int | slice) -> Found | tuple[Found, ...]:
        numbers = range(len(self))[index]
        if isinstance(numbers, range):
            return tuple(self[number] for number in numbers)
        if numbers not in self.made:
            self.made[numbers] = self.make(self.result[numbers])
        return self.made[numbers]

    def __iter__(self) -> Iterator[Found]:
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

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} problems, {int(self.success.sum())} of them solved>"

    def __str__(self) -> str:
        counts = Counter(self.status)
        words = ", ".join(f"{count} {one.name.lower().replace('_', ' ')}" for one, count in counts.most_common())
        low, high = float(self.cost.min()), float(self.cost.max())
        steps = self.iterations
        return (
            f"{words}; cost {low:.6g} to {high:.6g}, {int(steps.min())} to {int(steps.max())} iterations, "
            f"{self.seconds:.3g} s"
        )
