"""Optimal control problems as users state them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite, nan
from typing import TYPE_CHECKING, Any, Unpack, overload

import torch
from torch import Tensor

from banded.checks import check_whole
from banded.control.guess import check_guess
from banded.control.programme import Programme
from banded.control.refinement import refined
from banded.control.schemes import Scheme, scheme_of
from banded.control.setup import Setup
from banded.control.solution import Solution
from banded.control.solutions import Solutions
from banded.control.solver import Options, Solver, check_options
from banded.control.stage import Engines
from banded.control.stated import DTYPE, Stated, end, number, stated

if TYPE_CHECKING:
    from banded.canvas import Axes

Numbers = Any
"""What makes a vector: a number, a sequence of numbers, an array or a tensor; of states, numbers by name, too."""
Bounds = tuple[Numbers, Numbers] | Mapping[str, tuple[float | None, float | None]] | None
KEPT = 16  # solvers
One = float | Sequence[float] | Mapping[str, float] | None
"""What makes a vector for sure, and no batch of them."""


class Settings(Options, total=False):
    """What else `solve` takes."""

    grid: Numbers
    guess: Mapping[str, Any] | Solution | Solutions | None
    warm_start: Solution | Solutions | None
    accuracy: float | None
    max_nodes: int
    compile: bool


@dataclass(frozen=True, eq=False)
class ControlProblem:
    """dx/dt = f(x, u) from t = 0 to T, at the least cost.

    Functions are written for one node, of states x `(nx,)` and controls u `(nu,)`; each may also name t and p, the
    parameters. The library batches them, so no node can see another one.

    Attributes:
        dynamics: f(x, u), returns dx/dt `(nx,)`, in units of x per unit of time.
        states: how many there are, or their names.
        controls: likewise.
        running_cost: per unit of time, `()`; None for none.
        final_cost: of the last x, `()`; its t is T.
        path_constraint: what is to be >= 0 at every node, `()` or `(ng,)`.
        boundary_constraint: what is to be 0, of the first and the last x, `()` or `(nb,)`.
        initial_state: where it begins; nan leaves an entry free. A dictionary has numbers by name, and leaves all
            others free.
        final_state: where it ends, likewise; None leaves all free.
        state_bounds: a pair (lower, upper), each a number or one for each state; None or infinite where there is none.
            Or a dictionary with such a pair of numbers for each name that has bounds.
        control_bounds: likewise.
        duration: T, or a pair (low, high) where it is to be found.
        parameters: of the functions, to be found: how many, or their names.
        parameter_bounds: likewise.
        initial_time: t at the first node.
        periodic: whether the last state is to be the first one; or names of the states that are.
        guess: where to start, as in `solve`, where that is not told.
        title: one line.
        optimum: the least cost, where it is known.
        scene: draws what moves at one instant, for pictures and animations: takes axes, t, x `(nx,)` and u `(nu,)`.

    Raises:
        TypeError, ValueError: for what does not fit.
    """

    dynamics: Callable[..., Any]
    states: int | Sequence[str]
    controls: int | Sequence[str] = 0
    running_cost: Callable[..., Any] | None = None
    final_cost: Callable[..., Any] | None = None
    path_constraint: Callable[..., Any] | None = None
    boundary_constraint: Callable[..., Any] | None = None
    initial_state: Numbers = None
    final_state: Numbers = None
    state_bounds: Bounds = None
    control_bounds: Bounds = None
    duration: float | tuple[float, float] = 1.0
    parameters: int | Sequence[str] = 0
    parameter_bounds: Bounds = None
    initial_time: float = 0.0
    periodic: bool | Sequence[str] = False
    guess: Mapping[str, Any] | None = None
    title: str = ""
    optimum: float | None = None
    scene: Callable[[Axes, float, Tensor, Tensor], None] | None = None

    def __post_init__(self) -> None:
        check_guess(self.stated, self.guess)  # which checks everything else
        if not isinstance(self.title, str):
            raise TypeError(f"title: expected a line of text, got {self.title!r}")
        if self.optimum is not None and not isfinite(nan if (cost := number(self.optimum)) is None else cost):
            raise TypeError(f"optimum: expected a number, or None, got {self.optimum!r}")
        if self.scene is not None and not callable(self.scene):
            raise TypeError(f"scene: expected a function of (axes, t, x, u) that draws an instant, got {self.scene!r}")

    @cached_property
    def stated(self) -> Stated:
        """What it says, checked and as tensors."""
        return stated(self)

    @overload
    def solve(
        self,
        nodes: int = 100,
        scheme: str | Scheme = "trapezoidal",
        *,
        initial_state: One = None,
        final_state: One = None,
        **settings: Unpack[Settings],
    ) -> Solution: ...

    @overload
    def solve(
        self,
        nodes: int = 100,
        scheme: str | Scheme = "trapezoidal",
        *,
        initial_state: Numbers = None,
        final_state: Numbers = None,
        **settings: Unpack[Settings],
    ) -> Any: ...

    def solve(
        self,
        nodes: int = 100,
        scheme: str | Scheme = "trapezoidal",
        *,
        grid: Numbers = None,
        guess: Mapping[str, Any] | Solution | Solutions | None = None,
        warm_start: Solution | Solutions | None = None,
        initial_state: Numbers = None,
        final_state: Numbers = None,
        accuracy: float | None = None,
        max_nodes: int = 5000,
        compile: bool = False,
        **options: Unpack[Options],
    ) -> Solution | Solutions:
        """Find the trajectory of least cost, by transcription and the interior-point method.

        Solving again on the same grid by the same scheme takes over all that was set up before.

        Args:
            nodes: T, equally far apart; the intervals are one fewer.
            scheme: "euler", "trapezoidal", "hermite-simpson", "midpoint" or "rk4", or one of them with settings of
                your own, such as `HermiteSimpson(controls="linear")`.
            grid: the nodes in place of `nodes`: rising numbers, of which the first is where t begins and the last
                where it ends; their distances count, in units of whatever.
            guess: where to start: a dictionary with `x` and `u`, each an array `(T', n)` whose rows are equally far
                apart or a function of t, `duration` and `parameters`; or a solution, on whatever grid. What is
                missing is a straight line from the first to the last state, controls next to zero, a duration in the
                middle of its bounds.
            warm_start: a solution of a problem like this one, where to start with its multipliers; on another grid,
                it is a guess.
            initial_state: in place of the problem's; nan leaves an entry free. `(B, nx)` for a batch of B problems,
                which are solved at once; so are those of a guess with arrays `(B, T', n)`.
            final_state: likewise.
            accuracy: of the states, relative: where the error of an interval is larger, the grid is made finer and the
                problem solved again; None for the grid as it is. The solution says what it `missed`, if anything.
            max_nodes: T at most, then.
            compile: compile derivatives as one graph (seconds, once; cached on disk).
            options: tolerance, max_iterations, max_seconds, barrier, progress, callback as in `minimize`.

        Returns:
            A `Solution`; of a batch, `Solutions`.

        Raises:
            TypeError, ValueError: for bad arguments.
            NonFiniteError: if a function is not finite at the guess.
        """
        stated = self.stated
        check_options("solve", options, ("nodes", "scheme", "initial_state", "final_state", *Settings.__annotations__))
        if not isinstance(warm_start, Solution | Solutions | None):
            raise TypeError(
                f"warm_start: expected a Solution of a problem like this one, got {type(warm_start).__name__}; "
                "guess takes dictionaries"
            )
        given = {"initial_state": initial_state, "final_state": final_state}
        ends = [
            usual if given[name] is None else end(name, given[name], stated.states, stated.state_bounds)
            for name, usual in (("initial_state", stated.initial), ("final_state", stated.final))
        ]
        first = next((one for one in (guess, warm_start, self.guess) if one is not None), None)
        chosen, s = scheme_of(scheme), grid_of(nodes, grid)
        if accuracy is None:
            return self._on(s, chosen, compile).solve(first, ends[0], ends[1], warm_start, options)
        wanted = check_accuracy(accuracy)

        def solve(grids: tuple[Tensor, ...], earlier: Solution | None) -> Solution:
            start, warm = (first, warm_start) if earlier is None else (earlier, None)
            found = self._on(grids[0], chosen, compile).solve(start, ends[0], ends[1], warm, options)
            if not isinstance(found, Solution):
                raise ValueError("accuracy: expected None with a batch, whose problems share a grid; refine each alone")
            return found

        most = check_whole("max_nodes", max_nodes)
        return refined(solve, lambda found: (found.error,), (s,), wanted, (chosen.defect,), most)

    def solver(
        self, nodes: int = 100, scheme: str | Scheme = "trapezoidal", *, grid: Numbers = None, compile: bool = False
    ) -> Solver:
        """This problem on a grid, set up once."""
        return self._on(grid_of(nodes, grid), scheme_of(scheme), compile)

    def _on(self, s: Tensor, scheme: Scheme, compile: bool) -> Solver:
        """The solver on a grid from 0 to 1: one of the last few, or a new one."""
        key = (scheme, s.numpy().tobytes(), compile)
        if key not in self._solvers:
            while len(self._solvers) >= KEPT:
                self._solvers.pop(next(iter(self._solvers)))
            programme = Programme([Setup(self.stated, s, scheme)])
            self._solvers[key] = Solver(programme, [self], compile, self.engines)
        return self._solvers[key]

    @cached_property
    def engines(self) -> Engines:
        """Compiled derivatives of single nodes, which serve all grids."""
        return {}

    @cached_property
    def _solvers(self) -> dict[Any, Solver]:
        return {}


def check_accuracy(given: Any) -> float:
    """An accuracy.

    Raises:
        ValueError: if it is none.
    """
    wanted = number(given)
    if wanted is None or not wanted > 0:
        raise ValueError(f"accuracy: expected a positive number such as 1e-6, or None, got {given!r}")
    return wanted


def grid_of(nodes: int, grid: Numbers) -> Tensor:
    """The nodes from 0 to 1.

    Raises:
        TypeError, ValueError: if there are none.
    """
    if grid is None:
        count = check_whole("nodes", nodes)
        if count < 2:
            raise ValueError(f"nodes: expected at least 2, got {count}")
        return torch.linspace(0, 1, count, dtype=DTYPE)
    try:
        s = torch.as_tensor(grid, dtype=DTYPE).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"grid: expected rising numbers, got {grid!r}") from error
    rises = s.ndim == 1 and len(s) > 1 and bool((s.diff() > 0).all())
    s = (s - s[0]) / (s[-1] - s[0]) if rises else s
    if not rises or not bool((s.diff() > 0).all()):  # of numbers that are too large or too near, too
        raise ValueError(f"grid: expected at least two numbers, each larger than the one before, got {grid!r}")
    return s
