"""How far to go: backtracking until f has decreased enough."""

import math
from collections.abc import Callable
from dataclasses import dataclass

ARMIJO = 1e-4  # share of the promised decrease that is demanded
TRIALS = 60
CLOSE = 1e3  # times its rounding error: a decrease that f hardly shows


@dataclass(frozen=True)
class Step:
    """An accepted step, or `length` 0 where none was found; and the evaluations it took."""

    length: float
    value: float
    evaluations: int


def backtrack(along: Callable[[float], float], value: float, slope: float, noise: float) -> Step:
    """Shortens the step from 1 until f(x + t p) <= f(x) + 1e-4 t slope.

    Nocedal & Wright (2006), algorithm 3.1, with the minimiser of the parabola
    through what is known as the next trial, kept within a tenth and a half of
    the last. Values that are not finite only shorten the step. It gives up
    where the slope promises no more than rounding errors; where it does so from
    the start, or nearly, f may rise by as much.

    Args:
        along: t -> f(x + t p).
        value: f(x).
        slope: derivative of `along` at 0, negative.
        noise: rounding error of f.
    """
    slack = noise if -slope <= CLOSE * noise else 0.0
    length = 1.0
    for trial in range(1, TRIALS + 1):
        reached = along(length)
        if reached <= value + ARMIJO * length * slope + slack:
            return Step(length, reached, trial)
        if math.isfinite(reached):
            curvature = reached - value - slope * length
            best = -slope * length**2 / (2 * curvature) if curvature > 0 else 0.5 * length
            length = min(max(best, 0.1 * length), 0.5 * length)
        else:
            length *= 0.5
        if -slope * length <= noise:
            return Step(0.0, value, trial)
    return Step(0.0, value, TRIALS)
