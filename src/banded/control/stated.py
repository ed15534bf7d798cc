"""What a control problem says, checked and as tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from banded.checks import check_whole
from banded.control.derivatives import Variables, check_derivatives
from banded.control.functions import Functions, NodeFunction

if TYPE_CHECKING:
    from banded.control.problem import ControlProblem

DTYPE = torch.float64
ROUNDING = 1e-9  # by which an end may be outside its bounds, beside 1 + its size
Pair = tuple[Tensor, Tensor]
"""Lower and upper."""


@dataclass(frozen=True, eq=False)
class Stated:
    """A problem, checked.

    Attributes:
        states, controls, parameters: their names.
        functions: of one node.
        state_bounds, control_bounds, parameter_bounds: `(nx,)`, `(nu,)`, `(np,)` each.
        duration: least and largest T, equal where it is fixed.
        initial, final: `(nx,)`, nan where free.
        periodic: numbers of the states that end where they began.
    """

    states: tuple[str, ...]
    controls: tuple[str, ...]
    parameters: tuple[str, ...]
    functions: Functions
    state_bounds: Pair
    control_bounds: Pair
    parameter_bounds: Pair
    duration: tuple[float, float]
    initial: Tensor
    final: Tensor
    periodic: tuple[int, ...]

    @property
    def is_free(self) -> bool:
        """Whether the duration is to be found."""
        return self.functions.duration is None

    @property
    def links_ends(self) -> bool:
        """Whether equations know both ends."""
        return bool(self.periodic) or self.functions.boundary is not None

    @property
    def shared_names(self) -> tuple[str, ...]:
        """Of what all nodes share and is its own."""
        return (("duration",) if self.is_free else ()) + self.parameters

    @property
    def shared_bounds(self) -> Pair:
        """`(ns,)` each: of what all nodes share."""
        low, high = (
            torch.cat([torch.tensor([none] * self.functions.before + [end] * self.is_free, dtype=DTYPE), bound])
            for none, end, bound in zip((-torch.inf, torch.inf), self.duration, self.parameter_bounds, strict=True)
        )
        return low, high


def stated(problem: ControlProblem) -> Stated:
    """Check a problem.

    Raises:
        TypeError, ValueError: for what does not fit.
    """
    states, controls = names_of("states", problem.states, "x"), names_of("controls", problem.controls, "u")
    parameters = names_of("parameters", problem.parameters, "p")
    everything = (*states, *controls, *parameters, "t", "duration")
    if repeated := sorted({one for one in everything if everything.count(one) > 1}):
        raise ValueError(
            f"states, controls, parameters: expected names that differ, and none of them t or duration, got "
            f"{repeated[0]!r} twice"
        )
    if not states:
        raise ValueError("states: expected at least one state, got none")
    duration = _duration(problem.duration)
    bounds = {
        "state_bounds": _bounds("state_bounds", problem.state_bounds, states),
        "control_bounds": _bounds("control_bounds", problem.control_bounds, controls),
        "parameter_bounds": _bounds("parameter_bounds", problem.parameter_bounds, parameters),
    }
    initial, final = (
        end(name, getattr(problem, name), states, bounds["state_bounds"]) for name in ("initial_state", "final_state")
    )
    one = Stated(
        states,
        controls,
        parameters,
        _functions(problem, states, controls, parameters, duration),
        **bounds,
        duration=duration,
        initial=initial,
        final=final,
        periodic=_periodic(problem.periodic, states),
    )
    return replace(one, functions=_measured(one))


def names_of(what: str, given: int | Sequence[str], letter: str) -> tuple[str, ...]:
    """Names as they were given, or made from a count: x0, x1, ...

    Raises:
        TypeError, ValueError: if it is neither.
    """
    if isinstance(given, str):
        raise TypeError(f"{what}: expected how many, or a tuple of names, got the text {given!r}; ({given!r},) is one")
    if isinstance(given, Sequence):
        if not all(isinstance(one, str) and one for one in given):
            raise TypeError(f"{what}: expected names that are text, got {given!r}")
        return tuple(given)
    count = check_whole(what, given)
    if count < 0:
        raise ValueError(f"{what}: expected how many there are, or a tuple of names, got {count}")
    return tuple(f"{letter}{i}" for i in range(count))


def vector(name: str, given: Any, names: Sequence[str]) -> Tensor:
    """A number for each name `(..., n)`: all the same one, or one each.

    Raises:
        TypeError, ValueError: if it is no such thing.
    """
    try:
        found = torch.as_tensor(given).detach().cpu()
        if found.is_complex() or found.dtype is torch.bool:
            raise TypeError("no real numbers")
        found = torch.as_tensor(given, dtype=DTYPE).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        hint = "; nan stands for what is free, inf for what has no bound" if _has_none(given) else ""
        raise TypeError(f"{name}: expected a number, or {len(names)} numbers, got {given!r}{hint}") from error
    if not found.ndim:
        return found.expand(len(names)).clone()
    if found.shape[-1] != len(names):
        raise ValueError(
            f"{name}: expected {len(names)} numbers, for {', '.join(names) or 'nothing'}, "
            f"got shape {tuple(found.shape)}"
        )
    return found.clone()


def _by_name(name: str, given: Mapping[str, Any], names: Sequence[str], missing: Any) -> list[Any]:
    """What is given for each name.

    Raises:
        ValueError: if something is given for another one.
    """
    if unknown := [one for one in given if one not in names]:
        raise ValueError(f"{name}: expected names among {', '.join(names) or 'none'}, got {unknown[0]!r}")
    return [given.get(one, missing) for one in names]


def _has_none(given: Any) -> bool:
    return isinstance(given, tuple | list) and any(one is None for one in given)


def end(name: str, given: Any, names: Sequence[str], bounds: Pair) -> Tensor:
    """A first or last state `(..., nx)`, nan where it is free.

    Raises:
        TypeError, ValueError: if it is no such thing, or outside the bounds.
    """
    if isinstance(given, Mapping):
        given = [torch.nan if one is None else one for one in _by_name(name, given, names, None)]
    found = vector(name, torch.nan if given is None else given, names)
    if bool(found.isinf().any()):
        raise ValueError(f"{name}: expected finite numbers, or nan for what is free, got {found.tolist()}")
    slack = ROUNDING * (1 + found.abs())
    outside = (found < bounds[0] - slack) | (found > bounds[1] + slack)
    if bool(outside.any()):
        which = int(outside.nonzero()[0, -1])
        raise ValueError(
            f"{name}: expected {names[which]} within its bounds, {float(bounds[0][which])} to "
            f"{float(bounds[1][which])}, got {float(found[outside][0])}"
        )
    return found


def _sides(name: str, pairs: Sequence[Any]) -> Any:
    """Lists of all lower and of all upper ones."""
    for one in pairs:
        if not isinstance(one, tuple | list) or len(one) != 2:
            raise TypeError(f"{name}: expected a pair (lower, upper) for each name, got {one!r}")
    none = -torch.inf, torch.inf
    return tuple([none[side] if one[side] is None else one[side] for one in pairs] for side in (0, 1))


def _bounds(name: str, given: Any, names: Sequence[str]) -> Pair:
    pair = (None, None) if given is None else given
    if isinstance(given, Mapping):
        pair = _sides(name, _by_name(name, given, names, (None, None)))
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise TypeError(
            f"{name}: expected a pair (lower, upper), got {given!r}; either is a number, or a list of one for each of "
            f"{', '.join(names) or 'nothing'}; a dictionary has a pair for each name"
        )
    low, high = (
        vector(f"{name}[{side}]", none if one is None else one, names)
        for side, (one, none) in enumerate(zip(pair, (-torch.inf, torch.inf), strict=True))
    )
    if low.ndim != 1 or high.ndim != 1:
        raise ValueError(
            f"{name}: expected a number or {len(names)} numbers on either side, got shapes {tuple(low.shape)} and "
            f"{tuple(high.shape)}; bounds do not change with time, path_constraint is for those that do"
        )
    bad = ~(low <= high)
    if bool(bad.any()):
        which = int(bad.nonzero()[0, -1])
        raise ValueError(
            f"{name}: expected lower <= upper, got {float(low[which])} and {float(high[which])} for {names[which]}"
        )
    return low, high


def number(given: Any) -> float | None:
    """A real number of whatever type, nan and infinite ones too; None for what is none."""
    if isinstance(given, Tensor | np.ndarray | np.generic) and not given.ndim:
        given = given.item()
    return float(given) if isinstance(given, Real) and not isinstance(given, bool) else None


def _duration(given: Any) -> tuple[float, float]:
    pair = given if isinstance(given, tuple | list) else (given, given)
    low, high = map(number, pair) if len(pair) == 2 else (None, None)
    if low is None or high is None:
        raise TypeError(f"duration: expected a number, or a pair (low, high) where it is free, got {given!r}")
    if not (0 <= low <= high and high > 0) or math.isinf(low):
        raise ValueError(f"duration: expected a positive number, or a pair 0 <= low <= high, got {given!r}")
    return low, high


def _periodic(given: bool | Sequence[str], states: Sequence[str]) -> tuple[int, ...]:
    if isinstance(given, bool):
        return tuple(range(len(states))) if given else ()
    if not isinstance(given, Sequence) or isinstance(given, str) or any(one not in states for one in given):
        raise ValueError(f"periodic: expected True, or names among {', '.join(states)}, got {given!r}")
    return tuple(sorted({states.index(one) for one in given}))


def _functions(
    problem: ControlProblem,
    states: Sequence[str],
    controls: Sequence[str],
    parameters: Sequence[str],
    duration: tuple[float, float],
) -> Functions:
    def of(name: str, leading: Sequence[str], size: int | None) -> NodeFunction | None:
        function = getattr(problem, name)
        return None if function is None else NodeFunction.of(name, function, leading, size)

    start = number(problem.initial_time)
    if start is None or not math.isfinite(start):
        raise TypeError(f"initial_time: expected a number, got {problem.initial_time!r}")
    dynamics = of("dynamics", ("x", "u"), len(states))
    if dynamics is None:
        raise TypeError("dynamics: expected a function of (x, u), got None")
    return Functions(
        len(states),
        len(controls),
        len(parameters),
        dynamics,
        of("running_cost", ("x", "u"), 0),
        of("path_constraint", ("x", "u"), None),
        of("final_cost", ("x",), 0),
        of("boundary_constraint", ("first", "last"), None),
        torch.tensor(start, dtype=DTYPE),
        duration[0] if duration[0] == duration[1] else None,
    )


def _measured(one: Stated) -> Functions:
    """The functions with the sizes of what they return at some point, all of them tried there."""
    functions = one.functions
    state = Variables(one.states, typical(one.state_bounds, one.initial, one.final), *one.state_bounds)
    control = Variables(one.controls, typical(one.control_bounds), *one.control_bounds)
    p = Variables(one.parameters, typical(one.parameter_bounds), *one.parameter_bounds)
    start = functions.start.reshape(1)
    span = torch.inf if one.is_free else 0.0  # a time that is given needs no derivatives
    t = Variables(("t",), start, start - span, start + span)
    ends = [state._replace(names=[f"the {which} {name}" for name in one.states]) for which in ("first", "last")]
    sizes = {}
    for function, leading in (
        (functions.dynamics, [state, control]),
        (functions.running_cost, [state, control]),
        (functions.path, [state, control]),
        (functions.final, [state]),
        (functions.boundary, ends),
    ):
        if function is None:
            continue
        size = _tried(function, [each.point for each in leading], start[0], p.point)
        numbers = [f"number {i}" for i in range(size)] if size > 1 else []
        outputs = one.states if function is functions.dynamics else numbers
        check_derivatives(function, outputs, [*leading, t, p])
        sizes[function.name] = size
    return replace(
        functions, path_size=sizes.get("path_constraint", 0), boundary_size=sizes.get("boundary_constraint", 0)
    )


def _tried(function: NodeFunction, leading: Sequence[Tensor], t: Tensor, p: Tensor) -> int:
    """How many numbers it returns.

    Raises:
        TypeError, ValueError: if it returns something else, or writes into its arguments, which others are given, too.
    """
    with torch.inference_mode(mode=False):
        given = [one.clone() for one in leading]
        before = [one._version for one in given]
        try:
            size = function(*given, t=t.clone(), p=p.clone()).numel()
        except (RuntimeError, LookupError, AttributeError) as error:  # of what is done in there
            error.add_note(
                f"{function.name} was called for one node: with vectors of {' and '.join(map(str, map(len, given)))} "
                "numbers, all float64; modules become so by module.double()"
            )
            raise
    if [one._version for one in given] != before:
        raise ValueError(
            f"{function.name}: expected a function that leaves its arguments as they are, got one that writes into "
            "them; begin with x = x.clone()"
        )
    if not size:
        raise ValueError(f"{function.name}: expected at least one number, got an empty tensor")
    return size


def typical(bounds: Pair, *wanted: Tensor) -> Tensor:
    """What is wanted first, 0 where nothing is, moved within the bounds."""
    found = torch.zeros_like(bounds[0])
    for one in reversed(wanted):
        first = one.reshape(-1, one.shape[-1])[0]
        found = torch.where(first.isnan(), found, first)
    middle = torch.where((bounds[0] + bounds[1]).isfinite(), (bounds[0] + bounds[1]) / 2, found)
    return torch.where((found < bounds[0]) | (found > bounds[1]), middle.clamp(*bounds), found)
