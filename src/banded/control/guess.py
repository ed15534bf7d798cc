"""Where to start: trajectories from what users have."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from banded.control.curves import Curves
from banded.control.setup import Setup, Trajectory
from banded.control.solution import Solution
from banded.control.solutions import Solutions
from banded.control.stated import DTYPE, Stated, typical, vector

ROUNDING = 1e-6  # of a duration's bounds, by which one of another solution may be outside
KEYS = ("x", "u", "duration", "parameters")


def start(
    setup: Setup,
    guess: Mapping[str, Any] | Solution | Solutions | None,
    initial: Tensor,
    final: Tensor,
    before: Sequence[Tensor] = (),
) -> Trajectory:
    """A trajectory to start from.

    What the guess does not say is a straight line of states between both ends, and controls and parameters next to
    zero within their bounds.

    Args:
        setup: the problem on its grid.
        guess: `x` and `u`, each an array `(T', n)` whose rows are equally far apart, or a function of t; `duration`,
            `parameters`; or a solution, or one for each problem of a batch, on whatever grid. A leading dimension of
            arrays, durations and parameters is that of a batch.
        initial: first states `(..., nx)`, nan where free.
        final: last ones.
        before: the free durations before, `()`, or `(B,)` for a batch.

    Raises:
        TypeError, ValueError: for what does not fit.
    """
    problem = setup.problem
    given = _given(guess)
    _check_sizes(problem, given)
    duration = duration_of(problem, guess)
    asked = [*before[: problem.functions.before], *[duration] * problem.is_free]
    shared = _shared(problem, asked, given.get("parameters"))
    begin = sum(before, problem.functions.start)
    middle = (setup.grid[1:] + setup.grid[:-1]) / 2

    def sample(name: str, s: Tensor) -> Tensor:
        names, default = (problem.states, _line) if name == "x" else (problem.controls, _still)
        if given.get(name) is None:
            return default(problem, s, initial, final)
        t = begin[..., None] + duration[..., None] * s
        return _sampled(name, given[name], s, t, names)

    x = sample("x", setup.grid)
    u = sample("u", setup.grid) if setup.scheme.at_nodes else x[..., :0]
    inside = (sample("x", middle), sample("u", middle)) if setup.scheme.between else (x[..., :0, :], u[..., :0, :])
    batch = _batch(initial.shape[:-1], x.shape[:-2], u.shape[:-2], inside[1].shape[:-2], shared.shape[:-1])
    parts = (one.expand(*batch, *one.shape[-2:]) for one in (x, u, *inside))
    of_x, of_u, middle_x, middle_u = parts
    return Trajectory(of_x, of_u, middle_x, middle_u, shared.expand(*batch, -1))


def check_guess(problem: Stated, guess: Any) -> None:
    """A guess must fit a problem, as far as that can be told before there is a grid.

    Raises:
        TypeError, ValueError: if it does not.
    """
    given = _given(guess)
    _check_sizes(problem, given)
    _shared(problem, [duration_of(problem, guess)] * problem.is_free, given.get("parameters"))
    for name, names in (("x", problem.states), ("u", problem.controls)):
        one = given.get(name)
        if one is not None and not callable(one) and not isinstance(one, _OfSolution | _OfSolutions):
            _known(name, one, names)


def batched(*states: Tensor) -> list[Tensor]:
    """States `(..., nx)` with the leading dimensions of all.

    Raises:
        ValueError: if these do not agree.
    """
    batch = _batch(*(one.shape[:-1] for one in states))
    return [one.expand(*batch, -1) for one in states]


def batched_together(trajectories: Sequence[Trajectory], states: Sequence[Tensor]) -> list[Trajectory]:
    """Trajectories with the leading dimensions of all of them and of states `(..., nx)`.

    Raises:
        ValueError: if these do not agree.
    """
    batch = _batch(*(one.x.shape[:-2] for one in trajectories), *(one.shape[:-1] for one in states))

    def expanded(one: Trajectory) -> Trajectory:
        x, u, middle_x, middle_u = (
            part.expand(*batch, *part.shape[-2:]) for part in (one.x, one.u, one.middle_x, one.middle_u)
        )
        return Trajectory(x, u, middle_x, middle_u, one.shared.expand(*batch, -1))

    return [expanded(one) for one in trajectories]


def through(
    names: Sequence[Sequence[str]], durations: Sequence[Tensor], ends: Sequence[tuple[Tensor, Tensor]]
) -> list[tuple[Tensor, Tensor]]:
    """First and last states of phases, what is free of them on lines between those of the same name that are not.

    Args:
        names: of the states of each phase.
        durations: of each phase, `()`, or `(B,)` for a batch.
        ends: first and last states `(..., nx)` of each phase, nan where free.
    """
    batch = torch.Size(_batch(*(one.shape[:-1] for pair in ends for one in pair), *(one.shape for one in durations)))
    found = [tuple(one.expand(*batch, -1).clone() for one in pair) for pair in ends]
    times, now = [], torch.zeros(batch, dtype=DTYPE)
    for duration in durations:
        times.append((now, now + duration))
        now = now + duration
    for name in dict.fromkeys(one for of in names for one in of):
        at = [(k, side, list(of).index(name)) for k, of in enumerate(names) if name in of for side in (0, 1)]
        values = [found[k][side][..., i] for k, side, i in at]
        for (k, side, i), filled in zip(at, _filled([times[k][side] for k, side, _ in at], values), strict=True):
            found[k][side][..., i] = filled
    return [(first, last) for first, last in found]


def _filled(times: Sequence[Tensor], values: Sequence[Tensor]) -> list[Tensor]:
    """Values `(...)`, for nan what lies on a line between the nearest two that are known; or the only one."""
    ahead = _last_known(times[::-1], values[::-1])[::-1]
    filled = []
    for t, x, (t0, x0), (t1, x1) in zip(times, values, _last_known(times, values), ahead, strict=True):
        part = torch.where(t1 > t0, (t - t0) / (t1 - t0), 0.0)
        between = torch.where(x0.isnan(), x1, torch.where(x1.isnan(), x0, x0 + part * (x1 - x0)))
        filled.append(torch.where(x.isnan(), between, x))
    return filled


def _last_known(times: Sequence[Tensor], values: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """For each the time and the value that were known last, nan before there are any."""
    known, found = (times[0], torch.full_like(times[0], torch.nan)), []
    for t, x in zip(times, values, strict=True):
        known = torch.where(x.isnan(), known[0], t), torch.where(x.isnan(), known[1], x)
        found.append(known)
    return found


def _batch(*shapes: torch.Size) -> tuple[int, ...]:
    """The leading dimensions that all have: none, or one."""
    try:
        batch = np.broadcast_shapes(*shapes)
    except ValueError as error:
        sizes = sorted({math.prod(one) for one in shapes if one})
        raise ValueError(
            f"initial_state, final_state, guess: expected batches of one size, got {', '.join(map(str, sizes))}"
        ) from error
    if len(batch) > 1:
        raise ValueError(
            f"initial_state, final_state, guess: expected at most one dimension that counts problems, got {len(batch)}"
        )
    return batch


def _given(guess: Mapping[str, Any] | Solution | Solutions | None) -> Mapping[str, Any]:
    if guess is None:
        return {}
    if isinstance(guess, Mapping):
        unknown = sorted(set(guess) - set(KEYS))
        if unknown:
            raise ValueError(f"guess: expected {', '.join(KEYS)}, got {unknown[0]!r}")
        return guess
    if not isinstance(guess, Solution | Solutions):
        raise TypeError(f"guess: expected a dictionary with x, u, ... or a Solution, got {type(guess).__name__}")
    rest = {"duration": guess.duration, "parameters": guess.parameters}
    if isinstance(guess, Solutions):
        curves = [one.curves for one in guess]
        return {"x": _OfSolutions(curves, "x"), "u": _OfSolutions(curves, "u"), **rest}
    return {"x": _OfSolution(guess.curves, "x"), "u": _OfSolution(guess.curves, "u"), **rest}


def _check_sizes(problem: Stated, given: Mapping[str, Any]) -> None:
    """A solution must have as many states and controls as the problem, lest one stands for all."""
    for name, names in (("x", problem.states), ("u", problem.controls)):
        one = given.get(name)
        if isinstance(one, _OfSolution | _OfSolutions):
            curves = one.curves[0] if isinstance(one, _OfSolutions) else one.curves
            count = getattr(curves, name).shape[-1]
            if count != len(names):
                kind = "states" if name == "x" else "controls"
                raise ValueError(
                    f"guess: expected a solution with {len(names)} {kind}, {', '.join(names) or 'none'}, got one with "
                    f"{count}; guess={{'x': ..., 'u': ...}} takes parts of another"
                )


class _OfSolution(NamedTuple):
    """The states or the controls of another solution."""

    curves: Curves
    name: str

    def at(self, t: Tensor) -> Tensor:
        """At times `(P,)`; where there are later ones than it has, at its end."""
        found: Tensor = getattr(self.curves(t.clamp(self.curves.t[0], self.curves.t[-1])), self.name)
        return found


class _OfSolutions(NamedTuple):
    """Those of a batch."""

    curves: Sequence[Curves]
    name: str

    def at(self, t: Tensor) -> Tensor:
        """`(B, P, n)`, at times `(P,)` or `(B, P)`, likewise."""
        times = t.expand(len(self.curves), -1)
        return torch.stack([_OfSolution(one, self.name).at(row) for one, row in zip(self.curves, times, strict=True)])


def duration_of(problem: Stated, guess: Mapping[str, Any] | Solution | Solutions | None) -> Tensor:
    """`()`, or `(B,)` for a batch: what a guess says, or the middle of the bounds.

    Raises:
        TypeError, ValueError: if it is no guess, or outside the bounds.
    """
    (low, high), given = problem.duration, _given(guess).get("duration")
    if not problem.is_free:
        return torch.tensor(low, dtype=DTYPE)
    if given is None:
        return torch.tensor((low + high) / 2 if high < torch.inf else max(1.0, 2 * low), dtype=DTYPE)
    try:
        found = torch.as_tensor(given, dtype=DTYPE).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"guess['duration']: expected a number from {low} to {high}, got {given!r}") from error
    slack = ROUNDING * (high if high < torch.inf else low)
    outside = found[~((found >= low - slack) & (found <= high + slack))]
    if len(outside):
        raise ValueError(f"guess['duration']: expected a number from {low} to {high}, got {float(outside[0])}")
    return found.clamp(low, high)


def _shared(problem: Stated, durations: Sequence[Tensor], given: Any) -> Tensor:
    """`(..., ns)`."""
    names = problem.parameters
    p = typical(problem.parameter_bounds) if given is None else vector("guess['parameters']", given, names)
    batch = _batch(*(one.shape for one in durations), p.shape[:-1])
    return torch.cat([*(one.expand(batch)[..., None] for one in durations), p.expand(*batch, -1)], -1)


def _line(problem: Stated, s: Tensor, initial: Tensor, final: Tensor) -> Tensor:
    """From end to end; where only one of them is known, there."""
    usual = typical(problem.state_bounds)
    first = torch.where(initial.isnan(), torch.where(final.isnan(), usual, final), initial)
    last = torch.where(final.isnan(), first, final)
    return first[..., None, :] + s[:, None] * (last - first)[..., None, :]


def _still(problem: Stated, s: Tensor, initial: Tensor, final: Tensor) -> Tensor:
    return typical(problem.control_bounds).expand(len(s), -1)


def _sampled(name: str, given: Any, s: Tensor, t: Tensor, names: tuple[str, ...]) -> Tensor:
    """`(..., P, n)`: at s `(P,)`, of numbers at equal distances or a function of t."""
    if not len(s):
        return torch.zeros(0, len(names), dtype=DTYPE)
    if isinstance(given, _OfSolution | _OfSolutions):
        return given.at(t)
    if callable(given):
        rows = [_row(f"guess[{name!r}]", given, one, names) for one in t.flatten()]
        return torch.stack(rows).view(*t.shape, -1)
    known = _known(name, given, names)
    if known.ndim == 1:
        return known.expand(len(s), -1)
    if known.shape[-2] == 1:
        return known.expand(*known.shape[:-2], len(s), -1)
    place = s * (known.shape[-2] - 1)
    left = place.floor().long().clamp(max=known.shape[-2] - 2)
    part = (place - left)[:, None]
    return known[..., left, :] * (1 - part) + known[..., left + 1, :] * part


def _known(name: str, given: Any, names: tuple[str, ...]) -> Tensor:
    """Numbers `(..., n)` of a guess."""
    known = vector(f"guess[{name!r}]", given, names)
    if not bool(known.isfinite().all()):
        raise ValueError(f"guess[{name!r}]: expected finite numbers, got some that are not")
    if known.ndim > 1 and not known.shape[-2]:
        raise ValueError(f"guess[{name!r}]: expected at least one row, got shape {tuple(known.shape)}")
    return known


def _row(label: str, given: Callable[[Any], Any], t: Tensor, names: tuple[str, ...]) -> Tensor:
    found = given(t)
    if isinstance(found, tuple | list):
        found = torch.stack([torch.as_tensor(one, dtype=DTYPE) for one in found])
    row = vector(label, found, names)
    if row.ndim != 1 or not bool(row.isfinite().all()):
        raise ValueError(f"{label}: expected {len(names)} finite numbers at t = {float(t):.6g}, got {row.tolist()}")
    return row
