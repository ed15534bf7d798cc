"""Optimal control problems of several phases as users state them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Unpack

from torch import Tensor

from banded.control.guess import batched_together, duration_of, start, through
from banded.control.joined import Joined, joined
from banded.control.phased import PhasedSolution, PhasedSolutions
from banded.control.problem import KEPT, ControlProblem, Numbers, grid_of
from banded.control.programme import Programme
from banded.control.schemes import Scheme, scheme_of
from banded.control.setup import Setup, Trajectory
from banded.control.solution import Solution
from banded.control.solver import Options, Solver
from banded.control.stage import Engines
from banded.control.stated import end
from banded.optimize import Result, Results

Guess = Mapping[str, Any] | Solution | None
LinkLike = Callable[..., Any] | Sequence[str] | None


@dataclass(frozen=True, eq=False)
class Phases:
    """Control problems one after the other, at the least cost of all: each phase begins when the one before ends.

    Every phase has states, controls, dynamics, costs, constraints, bounds, a duration and parameters of its own. Its t
    counts on from that of the phase before.

    Attributes:
        phases: `ControlProblem`s in the order of time.
        links: for each junction what leads from the last state of a phase to the first one of the next: None for all
            states of the same name to be continuous; the names of those that are; or a function of (end, start) that
            returns what is to be 0, `()` or `(nl,)`, and may also name t and p, those of the phase that ends.
        shared: names of parameters that are one unknown for all phases which have them.
        boundary_constraint: what is to be 0, of the first state of the first phase and the last one of the last.
        title: one line.
        optimum: the least cost, where it is known.

    Raises:
        TypeError, ValueError: for what does not fit.
    """

    phases: Sequence[ControlProblem]
    links: Sequence[LinkLike] | None = None
    shared: Sequence[str] = ()
    boundary_constraint: Callable[..., Any] | None = None
    title: str = ""
    optimum: float | None = None

    def __post_init__(self) -> None:
        self.stated  # noqa: B018  # checks everything

    @cached_property
    def stated(self) -> Joined:
        """What they say, checked and as tensors."""
        return joined(self)

    def solve(
        self,
        nodes: int | Sequence[int] = 100,
        scheme: str | Scheme | Sequence[str | Scheme] = "trapezoidal",
        *,
        grid: Sequence[Numbers] | None = None,
        guess: Sequence[Guess] | PhasedSolution | None = None,
        warm_start: PhasedSolution | None = None,
        initial_state: Numbers = None,
        final_state: Numbers = None,
        compile: bool = False,
        **options: Unpack[Options],
    ) -> Any:
        """Find the trajectory of least cost, all phases at once, as `ControlProblem.solve` does.

        Args:
            nodes: of each phase, or of all of them one number each.
            scheme: likewise.
            grid: for each phase its nodes, in place of `nodes`.
            guess: for each phase where to start, as in `ControlProblem.solve`; or a solution. Where nothing is said,
                states of the same name run straight from the values that are given to the next ones, through phases.
            warm_start: a solution of phases like these, where to start with its multipliers; on other grids, a guess.
            initial_state: of the first phase, in place of its own; `(B, nx)` for a batch of B problems.
            final_state: of the last phase, likewise.
            compile: compile derivatives as graphs, one for each phase (seconds, once; cached on disk).
            options: tolerance, max_iterations, max_seconds, barrier, progress, callback as in `minimize`.

        Returns:
            A `PhasedSolution`; of a batch, `PhasedSolutions`.

        Raises:
            TypeError, ValueError: for bad arguments.
            NonFiniteError: if a function is not finite at the guess.
        """
        solver = self._on(self._grids(nodes, grid), self._schemes(scheme), compile)
        if not isinstance(warm_start, PhasedSolution | None):
            raise TypeError(
                f"warm_start: expected a PhasedSolution of phases like these, got {type(warm_start).__name__}; guess "
                "takes dictionaries, one for each phase"
            )
        ends = self._ends(initial_state, final_state)
        starts = self._starts(solver, self._guesses(warm_start if guess is None else guess), ends)
        batch = starts[0].x.shape[:-2]
        ends = [(one.expand(*batch, -1), other.expand(*batch, -1)) for one, other in ends]
        schemes = tuple(one.scheme.name for one in solver.programme.phases)
        is_alike = warm_start is not None and schemes == tuple(one.scheme for one in warm_start.phases)
        known = warm_start.result if warm_start is not None and is_alike else None
        result = solver.minimum(starts, ends, known, options)

        def told(one: Result) -> PhasedSolution:
            return PhasedSolution.of(solver.phases(one), solver.programme.timed(one), self)

        return PhasedSolutions(result=result, make=told) if isinstance(result, Results) else told(result)

    def _each(self, name: str, given: Any) -> list[Any]:
        """One for each phase, of one or as many.

        Raises:
            ValueError: if there are more or fewer.
        """
        count = len(self.phases)
        if isinstance(given, str | int | Scheme) or not isinstance(given, Sequence):
            return [given] * count
        if len(given) != count:
            raise ValueError(f"{name}: expected one for each of {count} phases, got {len(given)}")
        return list(given)

    def _schemes(self, given: Any) -> tuple[Scheme, ...]:
        return tuple(scheme_of(one) for one in self._each("scheme", given))

    def _grids(self, nodes: Any, grid: Any) -> tuple[Tensor, ...]:
        if grid is not None and (not isinstance(grid, Sequence) or len(grid) != len(self.phases)):
            raise ValueError(f"grid: expected a list with the nodes of each of {len(self.phases)} phases, got {grid!r}")
        counts = self._each("nodes", nodes)
        return tuple(grid_of(count, None if grid is None else grid[k]) for k, count in enumerate(counts))

    def _guesses(self, given: Any) -> list[Any]:
        """One for each phase: what is given, or the phase's own."""
        if isinstance(given, PhasedSolution):
            given = given.phases
        if isinstance(given, Mapping | Solution):
            raise TypeError(f"guess: expected a list with one for each phase, got a {type(given).__name__}")
        each = self._each("guess", given)
        return [problem.guess if one is None else one for one, problem in zip(each, self.phases, strict=True)]

    def _ends(self, initial: Any, final: Any) -> list[tuple[Tensor, Tensor]]:
        """First and last states of each phase, nan where free."""
        phases = self.stated.phases
        ends = [(one.initial, one.final) for one in phases]
        if initial is not None:
            ends[0] = end("initial_state", initial, phases[0].states, phases[0].state_bounds), ends[0][1]
        if final is not None:
            ends[-1] = ends[-1][0], end("final_state", final, phases[-1].states, phases[-1].state_bounds)
        return ends

    def _starts(
        self, solver: Solver, guesses: Sequence[Any], ends: Sequence[tuple[Tensor, Tensor]]
    ) -> list[Trajectory]:
        """A trajectory for each phase to start from, all of one batch."""
        phases = self.stated.phases
        durations = [duration_of(one, guess) for one, guess in zip(phases, guesses, strict=True)]
        lines = through([one.states for one in phases], durations, ends)
        found = []
        for number, (setup, guess, line) in enumerate(zip(solver.programme.phases, guesses, lines, strict=True)):
            before = [one for one, phase in zip(durations, phases[:number], strict=False) if phase.is_free]
            found.append(start(setup, guess, *line, before))
        return batched_together(found, [one for pair in ends for one in pair])

    def _on(self, grids: tuple[Tensor, ...], schemes: tuple[Scheme, ...], compile: bool) -> Solver:
        """The solver on grids from 0 to 1: one of the last few, or a new one."""
        key = (schemes, tuple(one.numpy().tobytes() for one in grids), compile)
        if key not in self._solvers:
            while len(self._solvers) >= KEPT:
                self._solvers.pop(next(iter(self._solvers)))
            stated = self.stated
            setups = [
                Setup(one, grid, scheme, copied=number == 0 and stated.ends is not None)
                for number, (one, grid, scheme) in enumerate(zip(stated.phases, grids, schemes, strict=True))
            ]
            programme = Programme(setups, stated.names, stated.links, stated.ends, stated.shared)
            self._solvers[key] = Solver(programme, self.phases, compile, self._engines)
        return self._solvers[key]

    @cached_property
    def _engines(self) -> Engines:
        return {}

    @cached_property
    def _solvers(self) -> dict[Any, Solver]:
        return {}
