"""A control problem on one grid, set up once and solved often."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypedDict

import torch
from torch import Tensor

from banded.control.curves import Curves
from banded.control.guess import batched, start
from banded.control.labels import Names
from banded.control.schemes import Known, Scheme
from banded.control.setup import Setup, Trajectory
from banded.control.solution import Solution
from banded.control.solutions import Solutions, solutions
from banded.control.transcription import Rules, Transcription
from banded.optimize import Result, Results, minimize

if TYPE_CHECKING:
    from banded.control.problem import ControlProblem


class Options(TypedDict, total=False):
    """What goes to `minimize` as it is."""

    tolerance: float
    max_iterations: int | None
    max_seconds: float | None
    barrier: str | None
    progress: bool | None
    callback: Callable[[Any, Any], object] | None


def check_options(function: str, options: Iterable[str], others: Iterable[str]) -> None:
    """Keywords must be among those that go to `minimize`.

    Args:
        function: that was called.
        options: their names.
        others: what else it takes.

    Raises:
        TypeError: if one is not; says which may be meant.
    """
    names = list(dict.fromkeys([*others, *Options.__annotations__]))
    for one in options:
        if one not in Options.__annotations__:
            meant = get_close_matches(one, names, 1, 0.5)
            hint = f"{meant[0]!r} may be meant" if meant else f"they are {', '.join(names)}"
            raise TypeError(f"{function}: expected keywords that it knows, got {one!r}; {hint}")


class Solver:
    """A problem on a grid, with its derivatives.

    Args:
        problem: as it is.
        grid: `(T,)`: the nodes in s, from 0 to 1.
        scheme: how it is discretised.
        compile: whether derivatives are to be compiled.
    """

    def __init__(self, problem: ControlProblem, grid: Tensor, scheme: Scheme, compile: bool) -> None:
        self.problem, self.compile = problem, compile
        self.setup = Setup(problem.stated, grid, scheme)
        self._made: dict[int, Transcription] = {}

    def transcription(self, vector: Tensor) -> Transcription:
        """How problems like that at `vector` `(n,)` or `(A, n)` are evaluated: made once for each number of them."""
        count = 0 if vector.ndim == 1 else len(vector)
        if count not in self._made:
            self._made[count] = self.setup.transcription(vector, self.compile, self.problem.engines)
        return self._made[count]

    def solve(
        self,
        guess: Any,
        initial: Tensor,
        final: Tensor,
        warm: Solution | Solutions | None,
        options: Options,
    ) -> Solution | Solutions:
        """From a guess, between ends `(nx,)`, or `(B, nx)` for a batch."""
        first = start(self.setup, guess, *batched(initial, final))
        initial, final = (one.expand(*first.x.shape[:-2], -1) for one in (initial, final))
        vector = self.setup.pack(first)
        lower, upper = self.setup.bounds(initial, final)
        vector = vector.clamp(lower, upper)
        with torch.no_grad():
            plan = self.transcription(vector)
            plan.check(vector)
            result = minimize(plan, vector, bounds=(lower, upper), warm_start=self._warmth(warm, vector), **options)
        if isinstance(result, Results):
            return solutions(self.setup, result, self._told)
        return self._told(result)

    def _warmth(self, warm: Solution | Solutions | None, vector: Tensor) -> Any:
        """The multipliers of a solution on the same grid, by the same scheme; for a batch, of one or of as many."""
        given = None if warm is None else warm.result
        one = next(iter(given), None) if isinstance(given, Results) else given
        if warm is None or one is None or one.conditions is None:
            return None
        if one.conditions.layout.n != self.setup.n or warm.scheme != self.setup.scheme.name:
            return None
        is_one = isinstance(given, Result)
        return Results(vector, (one,) * len(vector), 0.0, {}) if is_one and vector.ndim > 1 else given

    def _told(self, result: Result) -> Solution:
        made = _Told(self.setup, result, self.setup.unpack(result.x))
        result, problem = _timed(result, made.duration), self.setup.problem
        return Solution(
            t=made.t,
            x=made.trajectory.x,
            u=made.u,
            cost=result.value,
            status=result.status,
            duration=made.duration,
            parameters=made.trajectory.shared[int(problem.is_free) :],
            costates=made.costates(),
            path_multipliers=made.path_multipliers(),
            error=made.curves.errors(made.rates),
            states=problem.states,
            controls=problem.controls,
            parameter_names=problem.parameters,
            scheme=self.setup.scheme.name,
            curves=made.curves,
            iterations=result.iterations,
            seconds=result.seconds,
            history=result.history,
            result=result,
            problem=self.problem,
        )


def _timed(result: Result, duration: float) -> Result:
    """The same with names that tell times, now that the duration is known."""
    conditions = result.conditions
    if conditions is None:
        return result
    assert isinstance(conditions.constraints, Rules)
    assert isinstance(conditions.layout, Names)
    clock = replace(conditions.constraints.clock, duration=duration)
    constraints, where = conditions.constraints.timed(clock), replace(conditions.layout, clock=clock)
    return replace(result, conditions=replace(conditions, constraints=constraints, layout=where))


@dataclass(frozen=True, eq=False)
class _Told:
    """What a minimum says of the trajectory."""

    setup: Setup
    result: Result
    trajectory: Trajectory

    @cached_property
    def duration(self) -> float:
        """T."""
        fixed = self.setup.problem.functions.duration
        return float(self.trajectory.shared[0]) if fixed is None else fixed

    @cached_property
    def t(self) -> Tensor:
        """`(T,)`."""
        return self.setup.problem.functions.start + self.duration * self.setup.grid

    @cached_property
    def u(self) -> Tensor:
        """`(T, nu)`."""
        middle = self.trajectory.middle_u
        return self.trajectory.u if self.setup.scheme.at_nodes else torch.cat([middle, middle[-1:]])

    def rates(self, x: Tensor, u: Tensor, t: Tensor) -> Tensor:
        """dx/dt `(P, nx)` at points."""
        return self.setup.problem.functions.flow(x, u, t, self.trajectory.shared)

    @cached_property
    def curves(self) -> Curves:
        """What runs between the nodes."""
        x, u, t = self.trajectory.x, self.u, self.t
        middle = (t[1:] + t[:-1]) / 2
        between = self.trajectory.middle_x
        known = Known(
            t.diff()[:, None],
            x,
            u,
            self.trajectory.middle_u,
            self.rates(x, u, t),
            self.rates(x[1:], u[:-1] if self.setup.scheme.is_held else u[1:], t[1:]),
            self.rates(between, self.trajectory.middle_u, middle) if len(between) else between,
        )
        scheme = self.setup.scheme
        return Curves(t, scheme.states_between(known), scheme.controls_between(known))

    def _multipliers(self, name: str, size: int) -> Tensor:
        """`(K, R)`: of the equations of a name, in f + λ·r, or `(0, size)`."""
        conditions = self.result.conditions
        if conditions is None:
            return self.t.new_zeros(0, size)
        assert isinstance(conditions.constraints, Rules)
        return conditions.constraints.part(conditions.multipliers, name, size)

    def costates(self) -> Tensor:
        """`(T, nx)`: from the multipliers of the dynamics, and at the ends from what is left of the gradient there."""
        conditions, chain = self.result.conditions, self.setup.chain
        if conditions is None:
            return torch.full_like(self.trajectory.x, torch.nan)
        between = -self._multipliers("dynamics", self.setup.states)
        gradient = conditions.pressure[0] - conditions.pressure[1]
        functions, shared = self.setup.problem.functions, self.trajectory.shared
        last = functions.pull_of_end(
            self.trajectory.x[0], self.trajectory.x[-1], shared, self._multipliers("boundary constraint", 0)
        )
        ends = gradient[chain.nodes.x[0]], last - gradient[chain.nodes.x[-1]]
        if self.setup.scheme.is_explicit:
            inner = between[:-1]
        else:
            h = self.setup.grid.diff()[:, None]
            inner = (h[1:] * between[:-1] + h[:-1] * between[1:]) / (h[1:] + h[:-1])
        return torch.cat([ends[0][None], inner, ends[1][None]])

    def path_multipliers(self) -> Tensor:
        """`(P, ng)`: of the path constraints."""
        return self._multipliers("path constraint", self.setup.problem.functions.path_size)
