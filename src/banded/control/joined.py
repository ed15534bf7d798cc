"""What linked phases say, checked and as tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from banded.control.ends import Link
from banded.control.functions import NodeFunction
from banded.control.problem import ControlProblem
from banded.control.stated import Stated, typical

if TYPE_CHECKING:
    from banded.control.phases import Phases


@dataclass(frozen=True, eq=False)
class Joined:
    """Phases, checked.

    Attributes:
        phases: each begins where the one before ends.
        names: of the phases, for messages.
        links: from phase to phase.
        ends: what holds for the first and the last state of all, or None.
        shared: names of parameters that are one for all phases.
    """

    phases: tuple[Stated, ...]
    names: tuple[str, ...]
    links: tuple[Link, ...]
    ends: Link | None
    shared: tuple[str, ...]


def joined(given: Phases) -> Joined:
    """Check phases.

    Raises:
        TypeError, ValueError: for what does not fit.
    """
    problems = _problems(given.phases)
    names = tuple(f"phase {k + 1}" + (f" {one.title!r}" if one.title else "") for k, one in enumerate(problems))
    stated = [one.stated for one in problems]
    links = _links(given.links, problems, names)
    ends = None
    if given.boundary_constraint is not None:
        ends = _tied("boundary_constraint", given.boundary_constraint, ("first", "last"), (stated[0], stated[-1]), -1)
        ends = replace(ends, told="of all phases")
    asking = [_asks_time(one) for one in (*links, ends)]
    phases = _timed(stated, [one.functions.asks_time or asks for one, asks in zip(stated, asking, strict=True)])
    return Joined(phases, names, links, ends, _shared(given.shared, stated, names))


def _problems(given: Any) -> tuple[ControlProblem, ...]:
    if not isinstance(given, Sequence) or not all(isinstance(one, ControlProblem) for one in given):
        raise TypeError(f"phases: expected ControlProblems in the order of time, got {given!r}")
    if len(given) < 2:
        raise ValueError(
            f"phases: expected at least two ControlProblems, got {len(given)}; a single one has a solve of its own"
        )
    for number, one in enumerate(given[1:], 2):
        if one.initial_time:
            raise ValueError(
                f"phase {number}: expected no initial_time, as it begins when phase {number - 1} ends, got "
                f"{one.initial_time}; that of the first phase is when all begins"
            )
    return tuple(given)


def _timed(stated: Sequence[Stated], asking: Sequence[bool]) -> tuple[Stated, ...]:
    """Each phase with the time at which it begins: what is fixed of it, and how many free durations come before."""
    found, start, free = [], stated[0].functions.start, 0
    for one, asks in zip(stated, asking, strict=True):
        found.append(replace(one, functions=replace(one.functions, start=start, before=free if asks else 0)))
        start = start + (one.functions.duration or 0.0)
        free += one.is_free
    return tuple(found)


def _asks_time(link: Link | None) -> bool:
    return link is not None and link.function is not None and "t" in link.function.asks


def _links(given: Any, problems: Sequence[ControlProblem], names: Sequence[str]) -> tuple[Link, ...]:
    count = len(problems) - 1
    each = [None] * count if given is None else given
    if not isinstance(each, Sequence) or isinstance(each, str):
        raise TypeError(f"links: expected a list with an entry for each junction, {count} in all, got {given!r}")
    if len(each) != count:
        raise ValueError(
            f"links: expected an entry for each junction, {count} in all, got {len(each)}; None makes states of the "
            "same name continuous"
        )
    return tuple(
        replace(_link(number, one, problems[number : number + 2]), told=f"from {names[number]} to {names[number + 1]}")
        for number, one in enumerate(each)
    )


def _link(number: int, given: Any, sides: Sequence[ControlProblem]) -> Link:
    name, (end, start) = f"links[{number}]", (one.stated for one in sides)
    if callable(given):
        return _tied(name, given, ("end", "start"), (end, start), number)
    if given is None:
        given = _usual(name, sides)
    elif isinstance(given, str) or not isinstance(given, Sequence):
        raise TypeError(f"{name}: expected None, names of states, or a function of (end, start), got {given!r}")
    for one in given:
        if one not in end.states or one not in start.states:
            raise ValueError(
                f"{name}: expected names of states that both phases have, among {', '.join(end.states)} and "
                f"{', '.join(start.states)}, got {one!r}; a function of (end, start) links others"
            )
    pairs = [(end.states.index(one), start.states.index(one)) for one in given]
    for one, (i, j) in zip(given, pairs, strict=True):
        _agree(number, one, end.final[..., i], start.initial[..., j])
    return Link(torch.tensor(pairs, dtype=torch.long).reshape(-1, 2), tuple(given))


def _agree(number: int, name: str, end: Tensor, start: Tensor) -> None:
    """Where both ends of a junction are given, they must be the same."""
    if bool((end != start).any()) and not bool((end.isnan() | start.isnan()).any()):
        raise ValueError(
            f"links[{number}]: expected final_state of phase {number + 1} and initial_state of phase {number + 2} to "
            f"have the same {name}, which is continuous, got {float(end)} and {float(start)}; leave one of them free "
            "(nan), or leave it out of the link"
        )


def _usual(name: str, sides: Sequence[ControlProblem]) -> tuple[str, ...]:
    """Names that both phases have; where states are only counted, all of them."""
    end, start = (one.stated.states for one in sides)
    counted = all(isinstance(one.states, int) for one in sides)
    found = tuple(one for one in end if one in start)
    if not found or (counted and len(end) != len(start)):
        raise ValueError(
            f"{name}: expected phases with states of the same name, which are continuous, or as many of them, got "
            f"{', '.join(end)} and {', '.join(start)}; give names, or a function of (end, start); () links nothing"
        )
    return found


def _tied(
    name: str, given: Callable[..., Any], leading: tuple[str, str], sides: tuple[Stated, Stated], phase: int
) -> Link:
    """A function of two states, tried with t and p of the phase that ends."""
    function = NodeFunction.of(name, given, leading, None)
    one = sides[0] if phase >= 0 else sides[1]
    wanted = (sides[0].final, sides[1].initial) if phase >= 0 else (sides[0].initial, sides[1].final)
    x = [typical(side.state_bounds, end) for side, end in zip(sides, wanted, strict=True)]
    p, t = typical(one.parameter_bounds), one.functions.start
    size = len(function(*x, t=t, p=p))
    if not size:
        raise ValueError(f"{name}: expected at least one number, got an empty tensor")
    return Link(torch.zeros(0, 2, dtype=torch.long), (), function, size)


def _shared(given: Any, stated: Sequence[Stated], names: Sequence[str]) -> tuple[str, ...]:
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise TypeError(f"shared: expected a tuple of names of parameters, got {given!r}; ({given!r},) is one")
    for name in given:
        having = [k for k, one in enumerate(stated) if name in one.parameters]
        if len(having) < 2:
            told = "; ".join(f"{names[k]}: {', '.join(one.parameters) or 'none'}" for k, one in enumerate(stated))
            raise ValueError(f"shared: expected parameters of at least two phases, got {name!r}; they have {told}")
        bounds = [[side[stated[k].parameters.index(name)] for side in stated[k].parameter_bounds] for k in having]
        low, high = max(float(one[0]) for one in bounds), min(float(one[1]) for one in bounds)
        if low > high:
            raise ValueError(
                f"shared: expected bounds of {name!r} that have something in common, got a lower one of {low} and an "
                f"upper one of {high} in different phases"
            )
    return tuple(given)
