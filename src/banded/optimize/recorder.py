"""Where a minimisation stands, and the record of where it was."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text
from torch import Tensor

from banded.hessian import Layout
from banded.optimize.newton import Iterate
from banded.optimize.result import Record, Result, Status
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


class Recorder:
    """One `Record` per iterate, printed as a row where progress is wanted.

    Args:
        progress: True prints, False does not, None prints where standard
            output is an interactive terminal.
        layout: of the unknowns, to give the solution as the start was given.
        constrained: whether rows show violation and penalty.
    """

    def __init__(self, progress: bool | None, layout: Layout, *, constrained: bool) -> None:
        self._layout = layout
        self._start = time.perf_counter()
        self._columns = {name: cell for name, cell in _COLUMNS.items() if constrained or name not in _CONSTRAINED}
        shown = sys.stdout.isatty() if progress is None else progress
        self._console = Console(highlight=False) if shown else None
        self._records: list[Record] = []
        self._last: State | None = None
        self._evaluations = 0
        self.steps = 0  # Newton steps so far

    def add(self, state: State) -> None:
        """Record a state, unless it is the last one again, now with a status."""
        if self._last is not None and self._last.iterate.point is state.iterate.point:
            return
        self._last = state
        self._evaluations += state.iterate.evaluations
        self.steps += state.iterate.step > 0
        record = Record(
            iteration=self.steps,
            value=state.value,
            gradient_norm=state.iterate.point.gradient_norm,
            step=state.iterate.step,
            shift=state.iterate.ray.shift,
            evaluations=self._evaluations,
            seconds=time.perf_counter() - self._start,
            violation=state.violation,
            penalty=state.penalty,
        )
        self._records.append(record)
        if self._console is not None:
            self._show(self._console, record)

    def count(self, evaluations: int) -> None:
        """Evaluations besides those of iterates."""
        self._evaluations += evaluations

    def result(self, state: State, status: Status) -> Result:
        """The outcome at `state`."""
        return Result(
            x=self._layout.unflatten(state.place.x[0].clone()),
            value=state.value,
            status=status,
            iterations=self.steps,
            evaluations=self._evaluations,
            gradient_norm=state.iterate.point.gradient_norm,
            seconds=time.perf_counter() - self._start,
            history=tuple(self._records),
            multipliers=state.multipliers,
            violation=state.violation,
        )

    def _show(self, console: Console, record: Record) -> None:
        cells = {name: cell(record) for name, cell in self._columns.items()}
        if len(self._records) % 25 == 1:
            heading = "  ".join(name.rjust(len(text)) for name, text in cells.items())
            console.print(Text(heading, style="bold"), soft_wrap=True)
        console.print("  ".join(text.rjust(len(name)) for name, text in cells.items()), soft_wrap=True)
