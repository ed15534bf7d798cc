"""Phases as one nonlinear programme: the nodes of all in the order of time, and one border of what they share."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from banded.control.ends import Link, same, tie
from banded.control.equations import Equations, Linear
from banded.control.labels import Clock, Names, Place
from banded.control.setup import Setup, Trajectory
from banded.control.stage import Engines, Stage
from banded.control.transcription import Rules, Transcription
from banded.hessian.layout import layout
from banded.optimize import Result


class Programme:
    """Phases on their grids, one after the other; a problem that has no phases is one.

    Args:
        phases: each in unknowns of its own.
        names: what each is called, empty where it is alone.
        links: what holds from phase to phase, one fewer.
        ends: what holds for the first state of the first phase and the last one of the last.
        shared: names of the parameters which are one unknown for all phases that have them.

    Attributes:
        where: for each phase, `(n_phase,)`: which unknowns of the whole are its own.
        n: unknowns.
        border: how many of them, the last ones, couple to everything.
        durations: which of them are durations.
    """

    def __init__(
        self,
        phases: Sequence[Setup],
        names: Sequence[str] = ("",),
        links: Sequence[Link] = (),
        ends: Link | None = None,
        shared: Sequence[str] = (),
    ) -> None:
        self.phases, self.names, self.links = tuple(phases), tuple(names), tuple(links)
        self._ends, self._shared = ends, frozenset(shared)
        numbers: dict[Hashable, int] = {}
        places = [
            torch.tensor([numbers.setdefault(key, len(numbers)) for key in self._keys(number)], dtype=torch.long)
            for number in range(len(phases))
        ]
        self.border, core, first = len(numbers), sum(one.core for one in phases), 0
        self.n = core + self.border
        self._durations = {k: core + numbers["duration", k] for k in range(len(phases)) if phases[k].problem.is_free}
        self.durations = torch.tensor(list(self._durations.values()), dtype=torch.long)
        self.where = []
        for one, border in zip(phases, places, strict=True):
            self.where.append(torch.cat([torch.arange(first, first + one.core), core + border]))
            first += one.core

    def _keys(self, number: int) -> list[Hashable]:
        """What the unknowns in the border of a phase are, so that the same ones are known as such."""
        setup = self.phases[number]
        functions, names = setup.problem.functions, setup.problem.parameters
        free = [k for k in range(number) if self.phases[k].problem.is_free]
        keys: list[Hashable] = [("duration", k) for k in free[: functions.before]]
        keys += [("duration", number)] * setup.problem.is_free
        keys += [("parameter", name, None if name in self._shared else number) for name in names]
        return [*keys, *(("copy", number, i) for i in range(setup.copies))]

    def pack(self, trajectories: Sequence[Trajectory]) -> Tensor:
        """The vector of unknowns `(..., n)`; what several phases share is as the first of them has it."""
        parts = [setup.pack(one) for setup, one in zip(self.phases, trajectories, strict=True)]
        vector = parts[0].new_zeros(*parts[0].shape[:-1], self.n)
        for where, part in reversed(list(zip(self.where, parts, strict=True))):
            vector[..., where] = part
        return vector

    def unpack(self, vector: Tensor) -> tuple[Trajectory, ...]:
        """What a vector of unknowns `(..., n)` holds."""
        return tuple(setup.unpack(vector[..., where]) for setup, where in zip(self.phases, self.where, strict=True))

    def bounds(self, ends: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """`(..., n)` each, as `Setup.bounds` has it: those that hold for all phases."""
        parts = [setup.bounds(*one) for setup, one in zip(self.phases, ends, strict=True)]
        lower = torch.full((*parts[0][0].shape[:-1], self.n), -torch.inf, dtype=torch.float64)
        upper = -lower
        for where, (low, high) in zip(self.where, parts, strict=True):
            lower[..., where] = torch.maximum(lower[..., where], low)
            upper[..., where] = torch.minimum(upper[..., where], high)
        return lower, upper

    def clocks(self, vector: Tensor | None = None) -> tuple[Clock, ...]:
        """The times of each phase, as a vector of unknowns `(n,)` has them, or as far as they are known without."""
        return tuple(self._clock(number, vector) for number in range(len(self.phases)))

    def _clock(self, number: int, vector: Tensor | None) -> Clock:
        setup = self.phases[number]
        functions, name = setup.problem.functions, self.names[number]
        if vector is None:
            is_known = all(one.problem.functions.duration is not None for one in self.phases[:number])
            return Clock(setup.grid, functions.start, functions.duration if is_known else None, name)
        _, duration, _ = functions.split(vector[self.where[number]][setup.chain.shared])
        return Clock(setup.grid, float(self.start(number, vector)), float(duration), name)

    def start(self, number: int, vector: Tensor) -> Tensor:
        """When a phase begins `(...)`, as vectors of unknowns `(..., n)` have it."""
        free = [place for k, place in self._durations.items() if k < number]
        return self.phases[number].problem.functions.start + vector[..., free].sum(-1)

    def transcription(self, vector: Tensor, compile: bool, engines: Engines) -> Transcription:
        """How it is evaluated, for problems like that at `vector` `(n,)` or `(A, n)`."""
        stages: list[Stage] = []
        equations: list[Equations] = []
        for number, (setup, where) in enumerate(zip(self.phases, self.where, strict=True)):
            own = setup.discretised
            equations += [_moved(one, where, len(stages), number) for one in own.equations]
            stages += [replace(one, places=where[one.places], phase=number) for one in own.stages]
        self._add_links(stages, equations)
        names = Names(**vars(layout(vector, None, vector.ndim - 1)), told=self._told(), clocks=self.clocks())
        return Transcription(stages, equations, names, vector, self.border, self.clocks(), compile, engines)

    def _add_links(self, stages: list[Stage], equations: list[Equations]) -> None:
        last = [where[setup.chain.nodes.x[-1:]] for setup, where in zip(self.phases, self.where, strict=True)]
        first = [where[setup.chain.nodes.x[:1]] for setup, where in zip(self.phases, self.where, strict=True)]
        for number, link in enumerate(self.links):
            self._add(stages, equations, link, (last[number], first[number + 1]), number)
        if self._ends is not None:
            copy = self.where[0][self.phases[0].copy][None]
            self._add(stages, equations, self._ends, (copy, last[-1]), len(self.phases) - 1)

    def _add(
        self,
        stages: list[Stage],
        equations: list[Equations],
        link: Link,
        states: tuple[Tensor, Tensor],
        number: int,
    ) -> None:
        """A link of two states `(1, nx)` each, whose t and p are those at the end of a phase."""
        setup, (one, other), now = self.phases[number], states, torch.zeros(1, dtype=torch.float64)
        if link.function is None:
            before, after = link.same.unbind(1)
            names = [f"{name} {link.told}" for name in link.names]
            if names:
                found = same("continuity", names, other[:, after], one[:, before], now)
                equations.append(replace(found, phase=None))
            return
        function = setup.problem.functions.of_ends(link.function, (one.shape[1], other.shape[1]))
        places = torch.cat([one, other, self.where[number][setup.chain.shared][None]], 1)
        name = f"{link.function.name} {link.told}"
        stage, rule = tie(name, function, places, link.size, len(stages), link.function.name, now)
        stages.append(replace(stage, phase=None))
        equations.append(replace(rule, phase=None))

    def _told(self) -> tuple[Place, ...]:
        """A name for each unknown, by the first phase that has it."""
        told = [Place("")] * self.n
        for number, (setup, where) in reversed(list(enumerate(zip(self.phases, self.where, strict=True)))):
            for place, unknown in zip(setup.told, where.tolist(), strict=True):
                is_shared = place.s is None and place.name in self._shared
                told[unknown] = place._replace(phase=None if is_shared else number)
        return tuple(told)

    def own(self, result: Result, number: int, cost: float) -> Result:
        """What a minimum of the whole says of a phase, in its own unknowns and equations."""
        setup, where, conditions = self.phases[number], self.where[number], result.conditions
        x, clock = result.x[where], replace(self._clock(number, result.x), phase="")
        if conditions is None:
            return replace(result, x=x, value=cost)
        rules = conditions.constraints
        assert isinstance(rules, Rules)
        mine = rules.of_phase(number)
        room, pressure = conditions.room[:, where], conditions.pressure[:, where]
        earlier = setup.chain.shared[: setup.problem.functions.before]  # whose bounds are not its own
        room[:, earlier], pressure[:, earlier] = torch.inf, 0
        conditions = replace(
            conditions,
            constraints=Rules(setup.discretised.equations, (clock,)),
            layout=Names(**vars(layout(x, None, 0)), told=setup.told, clocks=(clock,)),
            rows=conditions.rows[mine],
            multipliers=conditions.multipliers[mine],
            room=room,
            pressure=pressure,
        )
        multipliers, violation = conditions.by_name(), conditions.violation
        return replace(result, x=x, value=cost, multipliers=multipliers, violation=violation, conditions=conditions)

    def timed(self, result: Result) -> Result:
        """The same with names that tell times, now that durations are known."""
        conditions = result.conditions
        if conditions is None:
            return result
        assert isinstance(conditions.constraints, Rules)
        assert isinstance(conditions.layout, Names)
        clocks = self.clocks(result.x)
        constraints, names = conditions.constraints.timed(clocks), replace(conditions.layout, clocks=clocks)
        return replace(result, conditions=replace(conditions, constraints=constraints, layout=names))


def _moved(one: Equations, where: Tensor, stages: int, phase: int) -> Equations:
    """Equations of a phase in the unknowns of the whole, whose stages come after so many others."""
    linear = tuple(Linear(where[columns], coefficient) for columns, coefficient in one.linear)
    terms = tuple(term._replace(stage=term.stage + stages) for term in one.terms)
    return replace(one, linear=linear, terms=terms, phase=phase)
