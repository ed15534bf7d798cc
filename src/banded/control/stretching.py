"""Other starts, where a free duration fell to its lower bound and the problem with it.

Where nothing has time to move, no small change of a trajectory comes closer to its ends: that is a locally infeasible
point of whatever problem, and says nothing of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor

from banded.errors import NonFiniteError
from banded.optimize import Result, Results, Status
from banded.optimize.recorder import console
from banded.optimize.result import keep

FACTORS = 4.0, 16.0, 0.25  # of the durations of the first start, one after the other
FALLEN = 1e-3  # share of the way from there to the lower bound that is left

Minimise: TypeAlias = Callable[[Tensor, tuple[Tensor, Tensor], Any], Any]
"""From `(n,)`, or `(B, n)` for a batch, within bounds like it, with options."""


def stretched(
    minimise: Minimise, start: Tensor, bounds: tuple[Tensor, Tensor], options: Any, result: Any, durations: Tensor
) -> Any:
    """A result, followed by those from longer or shorter durations as long as these fall; of a batch, where they do.

    Args:
        minimise: that found it.
        start: where it began.
        bounds: likewise.
        options: likewise.
        result: a `Result`, or the `Results` of a batch.
        durations: which unknowns they are.
    """
    begun, lower, upper = time.perf_counter() - result.seconds, bounds[0][..., durations], bounds[1][..., durations]
    for factor in FACTORS if len(durations) else ():
        is_one = isinstance(result, Result)
        numbers = _fallen([result] if is_one else result, start[..., durations], lower, durations)
        if not numbers:
            break
        other, which = start.clone(), ... if is_one else torch.tensor(numbers)
        other[..., durations] = (factor * start[..., durations]).clamp(lower, upper)
        told = _options(options, result, numbers, time.perf_counter() - begun)
        if (shown := console(options.get("progress"))) is not None:
            shown.print(f"{_who(result, numbers)} fell to its lower bound; again from {factor:g} times the guess")
        try:
            later = minimise(other[which], (bounds[0][which], bounds[1][which]), told)
        except NonFiniteError:  # of dynamics that grow too fast for so long
            continue
        except KeyboardInterrupt:
            return replace(result, status=Status.INTERRUPTED) if is_one else result.interrupted(numbers)
        except Exception as error:
            keep(error, result)
            raise
        result = result.followed_by(later) if is_one else result.replaced(numbers, later)
    return result


def _fallen(results: Sequence[Result], start: Tensor, lower: Tensor, durations: Tensor) -> list[int]:
    """The numbers of the problems that a duration made infeasible."""
    starts, lowest = start.reshape(-1, len(durations)), lower.reshape(-1, len(durations))
    return [
        number
        for number, (one, begin, low) in enumerate(zip(results, starts, lowest, strict=True))
        if one.status is Status.INFEASIBLE and bool((one.x[durations] - low <= FALLEN * (begin - low)).any())
    ]


def _who(result: Result | Results, numbers: Sequence[int]) -> str:
    return "a duration" if isinstance(result, Result) else f"a duration of {len(numbers)} problems"


def _options(options: Any, result: Result | Results, numbers: Sequence[int], seconds: float) -> dict[str, Any]:
    """With the time that is left, and a callback that is told of all problems."""
    found = dict(options)
    if found.get("max_seconds") is not None:
        found["max_seconds"] = max(found["max_seconds"] - seconds, 0.0)
    if found.get("callback") is not None and isinstance(result, Results):
        found["callback"] = partial(result.tell, found["callback"], numbers)
    return found
