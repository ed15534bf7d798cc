"""Which bounds and path constraints hold a trajectory back, when, and what of a problem cannot be met."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from banded.control.labels import Clock, Names, rounded
from banded.control.transcription import Rules

if TYPE_CHECKING:
    from banded.control.solution import Solution
    from banded.optimize import Conditions, Result

NOTHING = 1e-7  # violation up to which there is none to speak of


class Span(NamedTuple):
    """A time in which a constraint is active.

    Attributes:
        first, last: times.
        nodes: the numbers of the nodes there.
        force: the largest multiplier.
    """

    first: float
    last: float
    nodes: tuple[int, int]
    force: float


@dataclass(frozen=True)
class Active:
    """A bound or a path constraint that is active somewhere.

    Attributes:
        name: such as `force <= 20`.
        of: the state, control or parameter, or None for a path constraint.
        is_upper: whether it holds from above.
        spans: when; empty for what is of all times.
        force: the largest multiplier.
    """

    name: str
    of: str | None
    is_upper: bool
    spans: tuple[Span, ...]
    force: float


class Violated(NamedTuple):
    """An equation or a bound that is not met, with the name and the place of the worst of its kind."""

    name: str
    number: float


@dataclass(frozen=True)
class Findings:
    """What bounds and equations have to do with a trajectory.

    Attributes:
        active: bounds and path constraints that are, in the order of the unknowns.
        violated: the worst row of each equation and each bound that is not met, the worst first.
        ends: entries of first and last states that are given, in words; those first that count most.
        violation: the largest; None where nothing can be.
    """

    active: tuple[Active, ...]
    violated: tuple[Violated, ...]
    ends: tuple[str, ...]
    violation: float | None


def findings(solution: Solution) -> Findings | None:
    """Of a solution; None where nothing is known."""
    return findings_of(solution.result, active(solution.result)) or solution.findings


def findings_of(result: Result | None, constraints: Sequence[Active] = ()) -> Findings | None:
    """What a minimum says of them, of the whole or of a phase, where these are active; None where it says nothing."""
    if result is None or result.conditions is None:
        return None
    return Findings(
        tuple(constraints), tuple(violated(result.conditions)), tuple(ends_that_pull(result)), result.violation
    )


def active(result: Result | None) -> list[Active]:
    """Bounds and path constraints of a phase that are active, by unknowns; none where none is known."""
    if result is None or result.conditions is None:
        return []
    return [*_bounds(result.conditions, result.x), *_path(result.conditions)]


def violated(conditions: Conditions) -> list[Violated]:
    """The worst row of each equation of each state, and of each bound: those that are violated, the worst first."""
    rules, short = conditions.constraints, conditions.shortfall
    assert isinstance(rules, Rules)
    found, first = [], 0
    for block in rules.blocks:
        worst, unit = short[first : first + block.total].reshape(-1, block.size).max(0)
        for i, number in enumerate(worst.tolist()):
            found.append(Violated(conditions.name(first + int(unit[i]) * block.size + i), number))
        first += block.total
    if len(short) > first:
        bound = int(short[first:].argmax())
        found.append(Violated(conditions.name(first + bound), float(short[first + bound])))
    return sorted((one for one in found if one.number > NOTHING), key=lambda one: -one.number)


def ends_that_pull(result: Result) -> list[str]:
    """Entries of first and last states that are given, in words; those first that count most."""
    conditions = result.conditions
    if conditions is None:
        return []
    assert isinstance(conditions.layout, Names)
    pull = torch.where(conditions.room.abs().sum(0) == 0, conditions.pressure.amax(0), 0)
    order = pull.argsort(descending=True, stable=True)[: int((pull > 0).sum())].tolist()
    return [conditions.layout.label(i, float(result.x[i])) for i in order]


def _bounds(conditions: Conditions, x: Tensor) -> Iterator[Active]:
    """Of unknowns `(n,)`, grouped by what they bound, and on which side."""
    layout = conditions.layout
    assert isinstance(layout, Names)
    (clock,) = layout.clocks
    forces = conditions.forces()[len(conditions.rows) :].view(2, -1)
    names = dict.fromkeys(layout.told[i].name for i in (forces.sum(0) > 0).nonzero()[:, 0].tolist())
    for name in names:
        numbers = torch.tensor(layout.of(name))
        for side, sign in enumerate((">=", "<=")):
            room, force = conditions.room[side, numbers], forces[side, numbers]
            if not bool((force > 0).any()):
                continue
            strongest = int(force.argmax())
            bound = float(x[numbers[strongest]]) + (-1, 1)[side] * float(room[strongest])
            told = f"{name} {sign} {rounded(bound)}"
            times = [layout.told[i].s for i in numbers.tolist()]
            spans = () if times[0] is None else _spans(clock, times, force, room.isfinite())
            yield Active(told, name, bool(side), spans, float(force.max()))


def _path(conditions: Conditions) -> Iterator[Active]:
    rules = conditions.constraints
    assert isinstance(rules, Rules)
    name = "path constraint"
    block = next((one for one in rules.blocks if one.name == name), None)
    if block is None:
        return
    (clock,) = rules.clocks
    room, pressure = (rules.part(one, name, block.size) for one in (conditions.rows, conditions.multipliers))
    unit = room.amax(0).clamp(min=1)  # of newtons, say, there may be thousands: what is active does not hang on that
    forces = torch.where(pressure * unit > room / unit, pressure, 0)
    order = block.times.argsort()
    for i in range(block.size):
        force = forces[order, i]
        if bool((force > 0).any()):
            spans = _spans(clock, block.times[order].tolist(), force, torch.ones_like(force, dtype=torch.bool))
            yield Active(block.called(i), None, False, spans, float(force.max()))


def _spans(clock: Clock, times: Sequence[float | None], force: Tensor, exists: Tensor) -> tuple[Span, ...]:
    """Runs of points at which there is a force, of those at which there can be one."""
    assert clock.duration is not None
    found: list[list[int]] = []
    follows = False
    for number in exists.nonzero()[:, 0].tolist():
        if force[number] > 0:
            if follows:
                found[-1].append(number)
            else:
                found.append([number])
        follows = bool(force[number] > 0)
    spans = []
    for run in found:
        ends = times[run[0]] or 0.0, times[run[-1]] or 0.0
        first, last = (float(clock.start) + clock.duration * s for s in ends)
        spans.append(Span(first, last, (clock.node(ends[0]), clock.node(ends[1])), float(force[run].max())))
    return tuple(spans)
