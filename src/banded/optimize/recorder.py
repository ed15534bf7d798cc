"""The record of where a minimisation was."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text
from torch import Tensor

from banded.optimize.newton import Iterate
from banded.optimize.questions import Point
from banded.optimize.result import Record, Status
from banded.optimize.workspace import Place

_CONSTRAINED = ("violation", "penalty")
_COLUMNS: dict[str, Callable[[Record], str]] = {
    "iter": lambda r: f"{r.iteration:5d}",
    "value": lambda r: f"{r.value:15.8e}",
    "gradient": lambda r: f"{r.gradient_norm:8.1e}",
    "violation": lambda r: f"{r.violation:9.1e}",
    "penalty": lambda r: f"{r.penalty:7.0e}",
    "step": lambda r: f"{r.step:7.1e}",
    "shift": lambda r: f"{r.shift:7.1e}" if r.shift else "      0",
    "evals": lambda r: f"{r.evaluations:5d}",
    "seconds": lambda r: f"{r.seconds:8.3f}",
}


@dataclass(frozen=True, eq=False)
class State:
    """An iterate in terms of the user's problem, whatever function Newton's method was given.

    Attributes:
        iterate: the iterate.
        place: where it is, with its derivatives: of one problem.
        value: f at it, without penalty terms.
        status: why the minimisation ends here, or None.
        violation: largest absolute constraint residual, or None.
        penalty: ρ, or None.
        multipliers: estimate of λ, or None.
    """

    iterate: Iterate
    place: Place
    value: float
    status: Status | None = None
    violation: float | None = None
    penalty: float | None = None
    multipliers: Tensor | None = None


class History:
    """One `Record` per iterate of one problem."""

    best: Record  # with the lowest value

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.evaluations = 0
        self.steps = 0  # Newton steps so far
        self._last: Point | None = None

    def add(
        self,
        iterate: Iterate,
        seconds: float,
        *,
        value: float | None = None,
        violation: float | None = None,
        penalty: float | None = None,
    ) -> Record | None:
        """The record of an iterate; None where it is the last one again, now with a status."""
        if iterate.point is self._last:
            return None
        self._last = iterate.point
        self.evaluations += iterate.evaluations
        self.steps += iterate.step > 0
        record = Record(
            iteration=self.steps,
            value=iterate.point.value if value is None else value,
            gradient_norm=iterate.point.gradient_norm,
            step=iterate.step,
            shift=iterate.ray.shift,
            evaluations=self.evaluations,
            seconds=seconds,
            violation=violation,
            penalty=penalty,
        )
        self.records.append(record)
        if len(self.records) == 1 or record.value <= self.best.value:
            self.best = record
        return record


class Recorder:
    """The history of one problem, printed row by row where progress is wanted.

    Args:
        progress: True prints, False does not, None prints where standard
            output is an interactive terminal.
        constrained: whether rows show violation and penalty.
    """

    def __init__(self, progress: bool | None, *, constrained: bool) -> None:
        self._start = time.perf_counter()
        self._columns = {name: cell for name, cell in _COLUMNS.items() if constrained or name not in _CONSTRAINED}
        self._console = console(progress)
        self.history = History()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.perf_counter() - self._start

    def add(self, state: State) -> Record | None:
        """Record a state; None where it is the last one again, now with a status."""
        record = self.history.add(
            state.iterate, self.seconds, value=state.value, violation=state.violation, penalty=state.penalty
        )
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
