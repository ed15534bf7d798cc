"""What solving control problems of several phases gives back."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from banded.control import picture, scenes, storing
from banded.control.many import Many
from banded.control.simulation import PhasedSimulation, simulate_phases
from banded.control.solution import Solution
from banded.control.table import table
from banded.control.telling import explanation_of_phases, summary_of_phases
from banded.errors import FileFormatError
from banded.optimize import Record, Result, Status

if TYPE_CHECKING:
    import os

    import pandas

    from banded.canvas import Figure
    from banded.control.phases import Phases


@dataclass(frozen=True, eq=False, repr=False)
class PhasedSolution:
    """The trajectories of all phases, and how they were found.

    Attributes:
        phases: a `Solution` for each; its cost is the phase's share.
        names: of the phases, as messages have them.
        result: all that the optimiser says of the whole; None for a solution that was loaded.
        problem: what was solved; None for a solution that was loaded.
        rounds: the grids on the way to an accuracy that was asked for.
        asked: that accuracy.
        missed: why it was not reached; empty where it was.
    """

    phases: tuple[Solution, ...]
    names: tuple[str, ...]
    result: Result | None = field(default=None)
    problem: Phases | None = field(default=None)
    rounds: tuple[Any, ...] = ()
    asked: float | None = None
    missed: str = ""

    @property
    def cost(self) -> float:
        """Of all phases."""
        return sum(one.cost for one in self.phases)

    @property
    def status(self) -> Status:
        """Why it ended; `status.value` is advice."""
        return self.phases[0].status

    @property
    def success(self) -> bool:
        """Whether it is a minimum, as nearly as asked or as rounding allows."""
        return self.status.success

    @property
    def duration(self) -> float:
        """Of all phases."""
        return sum(one.duration for one in self.phases)

    @property
    def accuracy(self) -> float:
        """The largest error of an interval, relative."""
        return max(one.accuracy for one in self.phases)

    @property
    def iterations(self) -> int:
        """What it took."""
        return self.phases[0].iterations

    @property
    def seconds(self) -> float:
        """What it took."""
        return self.phases[0].seconds

    @property
    def history(self) -> tuple[Record, ...]:
        """A `Record` for each iterate."""
        return self.phases[0].history

    def simulate(self, rtol: float = 1e-10, *, method: str = "DOP853") -> PhasedSimulation:
        """Integrate phase after phase forward with these controls, each from where the one before ends.

        Args:
            rtol: as in `Solution.simulate`.
            method: likewise.

        Raises:
            ValueError: for a solution that was loaded without its problem.
        """
        return simulate_phases(self, rtol, method)

    def explain(self) -> str:
        """In words: how it ended, what is active in which phase, what is violated, what to try."""
        return explanation_of_phases(self)

    def plot(self, *, costates: bool = False) -> Figure:
        """Draw states and controls of all phases over time, as `Solution.plot` does.

        Args:
            costates: whether to draw these, too.

        Raises:
            ModuleNotFoundError: where the extra `plot` is not installed.
        """
        return picture.draw(self.phases, costates, "" if self.problem is None else self.problem.title)

    def animate(self, path: str | os.PathLike[str], fps: float = 25, *, speed: float = 1) -> None:
        """Write the scenes of the phases, one after the other, as `Solution.animate` does; those without are left out.

        Args:
            path: a file that ends in .gif or .html.
            fps: frames in a second.
            speed: how many units of time pass in a second.

        Raises:
            ValueError: where no phase has a scene, for another suffix, or for more than 2,000 frames.
            ModuleNotFoundError: where the extra `plot` is not installed.
        """
        scenes.animate(self.phases, Path(path), fps, speed)

    def to_dataframe(self) -> pandas.DataFrame:
        """A row for each node of each phase, as `Solution.to_dataframe` has it, after a column with the phase's name.

        Raises:
            ModuleNotFoundError: where pandas is not installed.
        """
        return table(self.phases, self.names)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all but `problem` and `result` to a file that ends in .npz, making its folder.

        Raises:
            ValueError: for another suffix.
        """
        storing.save_phases(self.phases, self.names, Path(path))

    @classmethod
    def load(cls, path: str | os.PathLike[str], problem: Phases | None = None) -> PhasedSolution:
        """What `save` wrote.

        Args:
            path: the file.
            problem: what was solved, which files do not hold: `simulate` and bounds in pictures need it.

        Raises:
            FileNotFoundError: if there is no such file.
            FileFormatError: if it holds no solution, or one with other states and controls than the problem's.
        """
        names, given = storing.load_phases(Path(path))
        phases = tuple(Solution(**one) for one in given)
        if problem is None:
            return cls(phases, names)
        wanted = [(one.states, one.controls) for one in problem.stated.phases]
        if [(one.states, one.controls) for one in phases] != wanted:
            raise FileFormatError(
                f"{path}: expected a solution of {len(wanted)} phases with the states and controls of the problem's, "
                f"got one of {', '.join(names)} with others"
            )
        known = zip(phases, problem.phases, strict=True)
        return cls(tuple(replace(one, problem=of) for one, of in known), problem.stated.names, problem=problem)

    def __repr__(self) -> str:
        return f"<PhasedSolution of {len(self.phases)} phases: {self.status.name}, cost {self.cost:.8g}>"

    def __str__(self) -> str:
        return summary_of_phases(self)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class PhasedSolutions(Many[PhasedSolution]):
    """The trajectories of B problems of several phases: a sequence of a `PhasedSolution` for each.

    Attributes:
        result: all that the optimiser says.
        make: makes a solution of what it says of one problem.
        made: those that were asked for.
    """
