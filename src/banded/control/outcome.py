"""What a minimum says of the trajectory of a phase."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from banded.control.curves import Curves
from banded.control.schemes import Known
from banded.control.setup import Setup, Trajectory
from banded.control.solution import Solution
from banded.control.transcription import Rules
from banded.optimize import Result

if TYPE_CHECKING:
    from banded.control.problem import ControlProblem


def outcome(setup: Setup, result: Result, start: float, pull: Tensor | None, problem: ControlProblem) -> Solution:
    """A solution.

    Args:
        setup: of the phase.
        result: of the phase, in its own unknowns.
        start: time at the first node.
        pull: `(n,)`: the gradient of what stands at ends alone in Λ; None where nothing is known of multipliers.
        problem: as it is.
    """
    made = _Outcome(setup, result, start, pull, setup.unpack(result.x))
    stated = setup.problem
    return Solution(
        t=made.t,
        x=made.trajectory.x,
        u=made.u,
        cost=result.value,
        status=result.status,
        duration=made.duration,
        parameters=made.parameters,
        costates=made.costates(),
        path_multipliers=made.path_multipliers(),
        error=made.curves.errors(made.rates),
        states=stated.states,
        controls=stated.controls,
        parameter_names=stated.parameters,
        scheme=setup.scheme.name,
        curves=made.curves,
        iterations=result.iterations,
        seconds=result.seconds,
        history=result.history,
        result=result,
        problem=problem,
    )


@dataclass(frozen=True, eq=False)
class _Outcome:
    setup: Setup
    result: Result
    start: float
    pull: Tensor | None
    trajectory: Trajectory

    @cached_property
    def duration(self) -> float:
        """T."""
        return float(self.setup.problem.functions.split(self.trajectory.shared)[1])

    @cached_property
    def parameters(self) -> Tensor:
        """`(np,)`."""
        return self.setup.problem.functions.split(self.trajectory.shared)[2]

    @cached_property
    def t(self) -> Tensor:
        """`(T,)`."""
        return self.start + self.duration * self.setup.grid

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
        scheme, x, u, t = self.setup.scheme, self.trajectory.x, self.u, self.t
        between, middle_u = self.trajectory.middle_x, self.trajectory.middle_u
        points = [(x, u, t), (x[1:], u[:-1] if scheme.is_held else u[1:], t[1:])]
        points += [(between, middle_u, (t[1:] + t[:-1]) / 2)] * bool(len(between))
        rates = torch.split(self.rates(*map(torch.cat, zip(*points, strict=True))), [len(one[2]) for one in points])
        known = Known(t.diff()[:, None], x, u, middle_u, rates[0], rates[1], rates[2] if len(between) else between)
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
        conditions, chain, pull = self.result.conditions, self.setup.chain, self.pull
        if conditions is None or pull is None:
            return torch.full_like(self.trajectory.x, torch.nan)
        between = -self._multipliers("dynamics", self.setup.states)
        # what the motion alone adds to the gradient of Λ at an end is all of it less what stands there
        motion = conditions.pressure[0] - conditions.pressure[1] - pull
        ends = motion[chain.nodes.x[0]], -motion[chain.nodes.x[-1]]
        if self.setup.scheme.is_explicit:
            inner = between[:-1]
        else:
            h = self.setup.grid.diff()[:, None]
            inner = (h[1:] * between[:-1] + h[:-1] * between[1:]) / (h[1:] + h[:-1])
        return torch.cat([ends[0][None], inner, ends[1][None]])

    def path_multipliers(self) -> Tensor:
        """`(P, ng)`: of the path constraints."""
        return self._multipliers("path constraint", self.setup.problem.functions.path_size)
