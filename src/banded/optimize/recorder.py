"""The record of where a minimisation was."""

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from rich.console import Console
from rich.text import Text
from torch import Tensor

from banded.optimize.newton import Iterate
from banded.optimize.result import Record, Status

_COLUMNS: dict[str, Callable[[Record], str]] = {
    "iter": lambda r: f"{r.iteration:5d}",
    "value": lambda r: f"{r.value:15.8e}",
    "gradient": lambda r: f"{r.gradient_norm:8.1e}",
    "step": lambda r: f"{r.step:7.1e}",
    "shift": lambda r: f"{r.shift:7.1e}" if r.shift else "      0",
    "evals": lambda r: f"{r.evaluations:5d}",
    "seconds": lambda r: f"{r.seconds:8.3f}",
}
_CONSTRAINED: dict[str, Callable[[Record], str]] = {  # as Ipopt has them
    "iter": lambda r: f"{r.iteration:4d}{'r' if r.restoration else ' '}",
    "objective": lambda r: f"{r.value:15.8e}",
    "inf_pr": lambda r: f"{r.violation:8.2e}",
    "inf_du": lambda r: f"{r.gradient_norm:8.2e}",
    "lg(mu)": lambda r: f"{_log(r.barrier)}",
    "||d||": lambda r: f"{r.length:8.2e}",
    "lg(rg)": lambda r: f"{_log(r.shift)}",
    "alpha_du": lambda r: f"{r.dual_step:8.2e}",
    "alpha_pr": lambda r: f"{r.step:8.2e}",
    "ls": lambda r: f"{r.trials:3d}",
    "seconds": lambda r: f"{r.seconds:8.3f}",
}


class Snapshot(NamedTuple):
    """What an iterate tells of itself, in numbers.

    Attributes:
        key: the same object where an iterate comes once more, then with a status.
        value, gradient_norm, step, shift: as in `Record`.
        evaluations: made to come here.
        moved: whether a step led here.
        violation, barrier, dual_step, length, trials, restoration: as in `Record`.
    """

    key: object
    value: float
    gradient_norm: float
    step: float
    shift: float
    evaluations: int
    moved: bool
    violation: float | None = None
    barrier: float | None = None
    dual_step: float | None = None
    length: float | None = None
    trials: int | None = None
    restoration: bool = False


def snapshot(iterate: Iterate) -> Snapshot:
    """That of an iterate of Newton's method."""
    point = iterate.point
    norm, step = point.gradient_norm, iterate.step
    return Snapshot(point, point.value, norm, step, iterate.ray.shift, iterate.evaluations, step > 0)


@dataclass(frozen=True, eq=False)
class State:
    """An iterate of some method.

    Attributes:
        snapshot: what it tells.
        x: `(n,)`: where it is.
        status: why the minimisation ends here, or None.
        place: what the method knows of it besides.
    """

    snapshot: Snapshot
    x: Tensor
    status: Status | None
    place: Any


Merit: TypeAlias = tuple[float, ...]
"""Of two points, the one with the lower merit is better."""


class History:
    """One `Record` per iterate of one problem.

    Args:
        merit: by which records are compared.
    """

    best: Record  # with the least merit

    def __init__(self, merit: Callable[[Record], Merit] | None = None) -> None:
        self._merit = merit or by_value
        self.records: list[Record] = []
        self.evaluations = 0
        self.steps = 0  # so far
        self._last: object = None

    def add(self, one: Snapshot, seconds: float) -> Record | None:
        """The record of an iterate; None where it is the last one again, now with a status."""
        if one.key is self._last:
            return None
        self._last = one.key
        self.evaluations += one.evaluations
        self.steps += one.moved
        record = Record(
            iteration=self.steps,
            value=one.value,
            gradient_norm=one.gradient_norm,
            step=one.step,
            shift=one.shift,
            evaluations=self.evaluations,
            seconds=seconds,
            violation=one.violation,
            barrier=one.barrier,
            dual_step=one.dual_step,
            length=one.length,
            trials=one.trials,
            restoration=one.restoration,
        )
        self.records.append(record)
        if len(self.records) == 1 or self._merit(record) <= self._merit(self.best):
            self.best = record
        return record


def by_value(one: Snapshot | Record) -> Merit:
    """The merit of a point where there are no constraints."""
    return (one.value,)


class Recorder:
    """The history of one problem, printed row by row where progress is wanted.

    Args:
        progress: True prints, False does not, None prints where standard
            output is an interactive terminal.
        constrained: whether rows show what the interior-point method tells.
    """

    def __init__(self, progress: bool | None, *, constrained: bool) -> None:
        self._start = time.perf_counter()
        self._columns = _CONSTRAINED if constrained else _COLUMNS
        self._console = console(progress)
        self.history = History()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.perf_counter() - self._start

    def add(self, state: State) -> Record | None:
        """Record a state; None where it is the last one again, now with a status."""
        record = self.history.add(state.snapshot, self.seconds)
        if record is not None and self._console is not None:
            self._show(self._console, record)
        return record

    def _show(self, console: Console, record: Record) -> None:
        cells = {name: cell(record) for name, cell in self._columns.items()}
        if len(self.history.records) % 25 == 1:
            heading = "  ".join(name.rjust(len(text)) for name, text in cells.items())
            console.print(Text(heading, style="bold"), soft_wrap=True)
        console.print("  ".join(text.rjust(len(name)) for name, text in cells.items()), soft_wrap=True)


def console(progress: bool | None) -> Console | None:
    """Where progress is printed, if it is."""
    shown = sys.stdout.isatty() if progress is None else progress
    return Console(highlight=False) if shown else None


def _log(number: float | None) -> str:
    """The decimal logarithm, as Ipopt shows it."""
    return f"{math.log10(number):6.1f}" if number else "   -  "
