"""Where the controls of a solution really lead: the dynamics, integrated forward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from banded.control.curves import value_of

if TYPE_CHECKING:
    from banded.control.functions import Functions
    from banded.control.phased import PhasedSolution
    from banded.control.solution import Solution


@dataclass(frozen=True, eq=False)
class Simulation:
    """What the dynamics make of the controls of a solution, from its first state on.

    Attributes:
        t: `(T,)`: times of the nodes.
        x: `(T, nx)`: states there; nan after the integration broke off, if it did.
        planned: `(T, nx)`: those of the solution.
        cost: what the motion costs, by an integration as accurate as that of the states.
        planned_cost: that of the solution.
        states: names.
    """

    t: Tensor = field(repr=False)
    x: Tensor = field(repr=False)
    planned: Tensor = field(repr=False)
    cost: float
    planned_cost: float
    states: tuple[str, ...]

    @property
    def differences(self) -> Tensor:
        """`(T, nx)`: x - planned, in units of x."""
        return self.x - self.planned

    @property
    def end(self) -> Tensor:
        """`(nx,)`: how far from the plan each state ends, beside 1 plus its largest; infinite if it broke off."""
        size = 1 + self.planned.abs().amax(0)
        return (self.differences[-1].abs() / size).nan_to_num(nan=torch.inf)

    @property
    def gap(self) -> float:
        """The largest of them."""
        return float(self.end.max())

    def __str__(self) -> str:
        if not bool(self.x[-1].isfinite().all()):
            last = float(self.t[max(int(self.x.isfinite().all(1).sum()) - 1, 0)])
            return f"The integration broke off after t = {last:.4g}: the dynamics run away, or are not finite there."
        which = int(self.end.argmax())
        return (
            f"The motion ends {self.gap:.1e} from the plan, of 1 + the largest |x|: {self.states[which]} is "
            f"{float(self.x[-1, which]):.6g} in place of {float(self.planned[-1, which]):.6g}; "
            f"it costs {self.cost:.8g} in place of {self.planned_cost:.8g}."
        )


def simulate(solution: Solution, rtol: float, method: str, first: Tensor | None = None) -> Simulation:
    """Integrate anew from node to node, as controls have kinks there; from another first state `(nx,)`, if given.

    Raises:
        ValueError: if nobody knows the dynamics, or for a tolerance or a method that does not exist.
    """
    if solution.problem is None:
        raise ValueError(
            "simulate: expected a solution that knows its problem, got one that was loaded without; "
            "Solution.load(path, problem=...) tells it"
        )
    if not isinstance(rtol, Real) or not 1e-13 <= rtol < 1:
        raise ValueError(f"rtol: expected a relative tolerance from 1e-13 to 1, got {rtol!r}")
    motion = _Motion(solution.problem.stated.functions, solution)
    size = solution.x.abs().amax(0).tolist()
    atol = [rtol * (one or 1.0) for one in (*size, abs(solution.cost))]
    y = np.append((solution.x[0] if first is None else first).numpy(), 0.0)
    rows = [y]
    with np.errstate(all="ignore"), torch.no_grad():
        for interval in range(len(solution.t) - 1):
            y = _integrated(motion, interval, y, method, rtol, atol)
            rows.append(y)
    x = torch.from_numpy(np.array(rows))
    cost = float(x[-1, -1]) + motion.final_cost(x[-1, :-1])
    return Simulation(solution.t, x[:, :-1], solution.x, cost, solution.cost, solution.states)


def _integrated(
    motion: _Motion, interval: int, y: np.ndarray, method: str, rtol: float, atol: Sequence[float]
) -> np.ndarray:
    """The end of an interval, nan if it is not reached."""
    if not np.isfinite(y).all():
        return y
    first, last = motion.t[interval : interval + 2]
    found = solve_ivp(motion.rates, (first, last), y, method, t_eval=[last], args=(interval,), rtol=rtol, atol=atol)
    return np.asarray(found.y[:, -1]) if found.success else np.full_like(y, np.nan)


@dataclass(frozen=True, eq=False)
class PhasedSimulation:
    """What the dynamics of several phases make of the controls of a solution, one after the other.

    Attributes:
        phases: each from where the one before ends, as the links have it.
        names: of the phases.
    """

    phases: tuple[Simulation, ...]
    names: tuple[str, ...]

    @property
    def cost(self) -> float:
        """What the motion costs."""
        return sum(one.cost for one in self.phases)

    @property
    def planned_cost(self) -> float:
        """What the solution costs."""
        return sum(one.planned_cost for one in self.phases)

    @property
    def gap(self) -> float:
        """The largest of how far from the plan each phase ends, as `Simulation.gap` has it."""
        return max(one.gap for one in self.phases)

    def __str__(self) -> str:
        lines = [f"{name}: {one}" for name, one in zip(self.names, self.phases, strict=True)]
        return "\n".join([*lines, f"In all, it costs {self.cost:.8g} in place of {self.planned_cost:.8g}."])


def simulate_phases(solution: PhasedSolution, rtol: float, method: str) -> PhasedSimulation:
    """Integrate phase after phase.

    Raises:
        ValueError: as `simulate`.
    """
    found: list[Simulation] = []
    links = () if solution.problem is None else solution.problem.stated.links
    for number, phase in enumerate(solution.phases):
        first = phase.x[0]
        if found and links:
            before = solution.phases[number - 1]
            first = links[number - 1].follow(found[-1].x[-1], first, before.t[-1], before.parameters)
        found.append(simulate(phase, rtol, method, first))
    return PhasedSimulation(tuple(found), solution.names)


class _Motion:
    """States and cost as functions of time."""

    def __init__(self, functions: Functions, solution: Solution) -> None:
        self._functions, self._p = functions, solution.parameters
        self._controls = solution.curves.u
        self.t = solution.t.tolist()

    def rates(self, t: float, y: Any, interval: int) -> Any:
        """d(x, cost)/dt within an interval."""
        first, last = self.t[interval : interval + 2]
        u = value_of(self._controls[interval], torch.tensor((t - first) / (last - first), dtype=torch.float64))
        x, time = torch.from_numpy(y[:-1].copy()), torch.tensor(t, dtype=torch.float64)
        rates = self._functions.dynamics(x, u, t=time, p=self._p)
        running = self._functions.running_cost
        cost = rates.new_zeros(()) if running is None else running(x, u, t=time, p=self._p)
        return torch.cat([rates, cost.reshape(1)]).numpy()

    def final_cost(self, x: Tensor) -> float:
        """That of the last state."""
        if self._functions.final is None:
            return 0.0
        return float(self._functions.final(x, t=torch.tensor(self.t[-1], dtype=torch.float64), p=self._p))
