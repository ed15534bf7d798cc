"""What solving a control problem gives back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from banded.checks import check_whole
from banded.control import picture, scenes, storing
from banded.control.activity import Findings
from banded.control.curves import Curves, Point, Samples
from banded.control.simulation import Simulation, simulate
from banded.control.table import table
from banded.control.telling import explanation, summary
from banded.errors import FileFormatError
from banded.optimize import Record, Status

if TYPE_CHECKING:
    import os

    import pandas

    from banded.canvas import Figure
    from banded.control.problem import ControlProblem
    from banded.optimize import Result


@dataclass(frozen=True, eq=False)
class Solution:
    """A trajectory, and how it was found.

    Attributes:
        t: `(T,)`: times of the nodes.
        x: `(T, nx)`: states there.
        u: `(T, nu)`: controls there; where they are constant from node to node, that of the interval that begins.
        cost: of the problem, by the scheme's own quadrature.
        status: why it ended; `status.value` is advice.
        duration: T.
        parameters: `(np,)`.
        costates: `(T, nx)`: dJ/dx, how fast the least cost of the rest grows with x at t, in units of cost over x. The
            first is that of the first state, where it is fixed. Exact in the first and the last row; between them to
            the order of the scheme, of order 2 at most.
        path_multipliers: `(P, ng)`, not negative: of the path constraints, at the nodes and then between them.
        error: `(N,)`: the part of each interval in the relative error of x, as the defects between the nodes tell it.
        states, controls, parameter_names: names.
        scheme: the name of the scheme.
        curves: states and controls between the nodes.
        iterations, seconds: what it took.
        history: a `Record` for each iterate.
        rounds: the grids on the way to an accuracy that was asked for.
        asked: that accuracy, or None.
        missed: why `accuracy` is not as good as that, or nothing where it is.
        findings: what is active and what is violated, of a solution that was loaded; `result` knows it of others.
        result: all that the optimiser says; None for a solution that was loaded.
        problem: what was solved; None for a solution that was loaded.
    """

    t: Tensor = field(repr=False)
    x: Tensor = field(repr=False)
    u: Tensor = field(repr=False)
    cost: float
    status: Status
    duration: float
    parameters: Tensor
    costates: Tensor = field(repr=False)
    path_multipliers: Tensor = field(repr=False)
    error: Tensor = field(repr=False)
    states: tuple[str, ...] = field(repr=False)
    controls: tuple[str, ...] = field(repr=False)
    parameter_names: tuple[str, ...] = field(repr=False)
    scheme: str
    curves: Curves = field(repr=False)
    iterations: int
    seconds: float
    history: tuple[Record, ...] = field(default=(), repr=False)
    rounds: tuple[Any, ...] = field(default=(), repr=False)
    asked: float | None = None
    missed: str = ""
    findings: Findings | None = field(default=None, repr=False)
    result: Result | None = field(default=None, repr=False)
    problem: ControlProblem | None = field(default=None, repr=False)

    @property
    def success(self) -> bool:
        """Whether it is a minimum, as nearly as asked or as rounding allows."""
        return self.status.success

    @property
    def accuracy(self) -> float:
        """The largest error of an interval, relative."""
        return float(self.error.max())

    def __call__(self, t: Any) -> Point:
        """States `(..., nx)` and controls `(..., nu)` at times `(...)`, by the scheme's own polynomials.

        Raises:
            TypeError, ValueError: for what is no time, or outside those of the nodes.
        """
        times = self._times("t", t)
        slack = 1e-9 * float(self.t[-1] - self.t[0])
        if not bool(((times >= self.t[0] - slack) & (times <= self.t[-1] + slack)).all()):
            raise ValueError(f"t: expected times from {float(self.t[0]):.6g} to {float(self.t[-1]):.6g}, got others")
        return self.curves(times)

    def _times(self, name: str, given: Any) -> Tensor:
        try:
            return torch.as_tensor(given, dtype=self.t.dtype).detach().cpu()
        except (TypeError, ValueError, RuntimeError) as error:
            raise TypeError(f"{name}: expected times, got {given!r}") from error

    def resample(self, nodes: int = 100, *, grid: Any = None) -> Samples:
        """Times `(P,)`, states `(P, nx)` and controls `(P, nu)`, by the scheme's own polynomials.

        Args:
            nodes: P, equally far apart, both ends among them.
            grid: the times `(P,)`, in place of `nodes`.

        Raises:
            TypeError, ValueError: for what is no time, or outside those of the nodes, or fewer than 2 nodes.
        """
        if grid is None:
            count = check_whole("nodes", nodes)
            if count < 2:
                raise ValueError(f"nodes: expected at least 2, got {count}")
            grid = torch.linspace(float(self.t[0]), float(self.t[-1]), count, dtype=self.t.dtype)
        times = self._times("grid", grid)
        return Samples(times, *self(times))

    def simulate(self, rtol: float = 1e-10, *, method: str = "DOP853") -> Simulation:
        """Integrate the dynamics forward from the first state with these controls.

        Args:
            rtol: the relative tolerance of the integration, as large beside the largest |x|.
            method: of `scipy.integrate.solve_ivp`; "Radau" for stiff dynamics.

        Raises:
            ValueError: for a solution that was loaded without its problem.
        """
        return simulate(self, rtol, method)

    def explain(self) -> str:
        """In words: how it ended and how accurate it is, what is active and when, what is violated, what to try."""
        return explanation(self)

    def plot(self, *, costates: bool = False) -> Figure:
        """Draw states and controls with their bounds, what is active when, the error, and the problem's scene.

        Args:
            costates: whether to draw these, too.

        Raises:
            ModuleNotFoundError: where the extra `plot` is not installed.
        """
        return picture.draw([self], costates, "" if self.problem is None else self.problem.title)

    def animate(self, path: str | os.PathLike[str], fps: float = 25, *, speed: float = 1) -> None:
        """Write the problem's scene as an animation.

        Args:
            path: a file that ends in .gif, or .html for a page with buttons.
            fps: frames in a second; of a GIF, 100 divided by a whole number, the nearest one.
            speed: how many units of time pass in a second.

        Raises:
            ValueError: where the problem has no scene, for another suffix, or for more than 2,000 frames.
            ModuleNotFoundError: where the extra `plot` is not installed.
        """
        scenes.animate([self], Path(path), fps, speed)

    def to_dataframe(self) -> pandas.DataFrame:
        """A row for each node, by time: states, controls and costates, as `costate_x`.

        Raises:
            ModuleNotFoundError: where pandas is not installed.
        """
        return table([self])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all but `problem` and `result` to a file that ends in .npz, and what `explain` says of them.

        Its folder is made where there is none.

        Raises:
            ValueError: for another suffix.
        """
        storing.save(self, Path(path))

    @classmethod
    def load(cls, path: str | os.PathLike[str], problem: ControlProblem | None = None) -> Solution:
        """What `save` wrote.

        Args:
            path: the file.
            problem: what was solved, which files do not hold: `simulate`, `animate` and bounds in pictures need it.

        Raises:
            TypeError: if `problem` is none.
            FileNotFoundError: if there is no such file.
            FileFormatError: if it holds no solution, or one with other states and controls than the problem's.
        """
        if problem is not None and not hasattr(problem, "stated"):
            raise TypeError(f"problem: expected a ControlProblem, got {type(problem).__name__}")
        found = cls(**storing.load(Path(path)), problem=problem)
        if problem is not None and (found.states, found.controls) != (problem.stated.states, problem.stated.controls):
            raise FileFormatError(
                f"{path}: expected a solution of states {problem.stated.states} and controls "
                f"{problem.stated.controls}, got {found.states} and {found.controls}"
            )
        return found

    def __str__(self) -> str:
        return summary(self)
