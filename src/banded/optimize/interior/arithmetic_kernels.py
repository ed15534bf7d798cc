"""Compiled loops of `arithmetic`: one pass over all unknowns of each problem of a batch.

Of one problem: v `(N,)`, its bounds `low` and `high` `(N,)` with `has_low` and `has_high`, whether there is one, and
`side`, 1 for unknowns with a lower bound alone, -1 for those with an upper one alone; z of the bounds, `lower` and
`upper`. The proximal term has `weight` and `anchor` of the first K unknowns, of none where K = 0.
"""

import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from banded.factor.jit import exact

Array: TypeAlias = NDArray[Any]
DAMPING = 1e-5  # as in `barrier`


@exact
def _slope(v: Array, j: int, low: Array, high: Array, has_low: Array, has_high: Array, side: Array, mu: float) -> Any:
    """The barrier's derivative in v[j]."""
    slope = DAMPING * side[j]
    if has_low[j]:
        slope -= 1 / (v[j] - low[j])
    if has_high[j]:
        slope += 1 / (high[j] - v[j])
    return mu * slope


@exact
def optimality(
    v: Array, slope: Array, pulled: Array, low: Array, high: Array, has_low: Array, has_high: Array, side: Array,
    weight: Array, anchor: Array, mu: Array, out: Array,
) -> None:  # fmt: skip
    """∇φ + Jᵀλ, of `slope` and `pulled` = Jᵀλ."""
    for a in range(v.shape[0]):
        for j in range(v.shape[1]):
            here = _slope(v[a], j, low[a], high[a], has_low[a], has_high[a], side[a], mu[a])
            if j < weight.shape[1]:
                here += math.sqrt(mu[a]) * weight[a, j] * (v[a, j] - anchor[a, j])
            out[a, j] = slope[a, j] + pulled[a, j] + here


@exact
def diagonal(
    v: Array, lower: Array, upper: Array, low: Array, high: Array, has_low: Array, has_high: Array, free: Array,
    weight: Array, mu: Array, delta: Array, out: Array,
) -> None:  # fmt: skip
    """Σ + δ, with the curvature of the proximal term; 1 for unknowns that are fixed."""
    for a in range(v.shape[0]):
        for j in range(v.shape[1]):
            total = delta[a]
            if has_low[a, j]:
                total += lower[a, j] / (v[a, j] - low[a, j])
            if has_high[a, j]:
                total += upper[a, j] / (high[a, j] - v[a, j])
            if j < weight.shape[1]:
                total += math.sqrt(mu[a]) * weight[a, j]
            out[a, j] = 1.0 if j < free.shape[1] and not free[a, j] else total


@exact
def barrier(
    v: Array, low: Array, high: Array, has_low: Array, has_high: Array, side: Array,
    weight: Array, anchor: Array, mu: Array, out: Array,
) -> None:  # fmt: skip
    """What is added to the objective; not a number outside the bounds."""
    for a in range(v.shape[0]):
        logs, damped, near = 0.0, 0.0, 0.0
        for j in range(v.shape[1]):
            if has_low[a, j]:
                room = v[a, j] - low[a, j]
                logs += math.log(room) if room > 0 else np.nan
                if side[a, j] > 0:
                    damped += room
            if has_high[a, j]:
                room = high[a, j] - v[a, j]
                logs += math.log(room) if room > 0 else np.nan
                if side[a, j] < 0:
                    damped += room
            if j < weight.shape[1]:
                near += weight[a, j] * (v[a, j] - anchor[a, j]) ** 2
        out[a] = mu[a] * (DAMPING * damped - logs) + 0.5 * math.sqrt(mu[a]) * near


@exact
def moved(
    v: Array, lower: Array, upper: Array, low: Array, high: Array, has_low: Array, has_high: Array,
    step: Array, mu: Array, of_lower: Array, of_upper: Array,
) -> None:  # fmt: skip
    """What a step of v makes of z (eq. 12)."""
    for a in range(v.shape[0]):
        for j in range(v.shape[1]):
            of_lower[a, j] = of_upper[a, j] = 0.0
            if has_low[a, j]:
                of_lower[a, j] = (mu[a] - lower[a, j] * step[a, j]) / (v[a, j] - low[a, j]) - lower[a, j]
            if has_high[a, j]:
                of_upper[a, j] = (mu[a] + upper[a, j] * step[a, j]) / (high[a, j] - v[a, j]) - upper[a, j]


@exact
def described(
    v: Array, lower: Array, upper: Array, slope: Array, low: Array, high: Array, has_low: Array, has_high: Array,
    side: Array, weight: Array, anchor: Array, step: Array, of_lower: Array, of_upper: Array, mu: Array, tau: Array,
    out: Array,
) -> None:  # fmt: skip
    """Slope, longest steps of v and of z, relative and absolute size: `(A, 5)`."""
    for a in range(v.shape[0]):
        falls, used, pressed, relative, size = 0.0, 0.0, 0.0, 0.0, 0.0
        for j in range(v.shape[1]):
            d = step[a, j]
            here = slope[a, j] + _slope(v[a], j, low[a], high[a], has_low[a], has_high[a], side[a], mu[a])
            if j < weight.shape[1]:
                here += math.sqrt(mu[a]) * weight[a, j] * (v[a, j] - anchor[a, j])
            falls += here * d
            if has_low[a, j]:
                used = max(used, -d / (v[a, j] - low[a, j]))
                if lower[a, j] > 0:
                    pressed = max(pressed, -of_lower[a, j] / lower[a, j])
            if has_high[a, j]:
                used = max(used, d / (high[a, j] - v[a, j]))
                if upper[a, j] > 0:
                    pressed = max(pressed, -of_upper[a, j] / upper[a, j])
            if not abs(d) <= size:
                size = abs(d)
            if not abs(d) / (1 + abs(v[a, j])) <= relative:
                relative = abs(d) / (1 + abs(v[a, j]))
        out[a, 0] = falls
        out[a, 1] = min(1.0, tau[a] / used) if used > 0 else 1.0
        out[a, 2] = min(1.0, tau[a] / pressed) if pressed > 0 else 1.0
        out[a, 3] = relative
        out[a, 4] = size


@exact
def taken(
    v: Array, lower: Array, upper: Array, low: Array, high: Array, has_low: Array, has_high: Array, mu: Array,
    spread: float, kept_lower: Array, kept_upper: Array,
) -> None:  # fmt: skip
    """Z kept within a factor of μ / distance (eq. 16)."""
    for a in range(v.shape[0]):
        for j in range(v.shape[1]):
            kept_lower[a, j] = kept_upper[a, j] = 0.0
            if has_low[a, j]:
                near = mu[a] / (v[a, j] - low[a, j])
                kept_lower[a, j] = min(max(lower[a, j], near / spread), near * spread)
            if has_high[a, j]:
                near = mu[a] / (high[a, j] - v[a, j])
                kept_upper[a, j] = min(max(upper[a, j], near / spread), near * spread)


@exact
def measured(
    v: Array, lower: Array, upper: Array, multipliers: Array, rows: Array, slope: Array, pulled: Array, low: Array,
    high: Array, has_low: Array, has_high: Array, weight: Array, anchor: Array, mu: Array, out: Array,
) -> None:  # fmt: skip
    """`(A, 10)`, as `arithmetic.measured` has it."""
    for a in range(v.shape[0]):
        dual, largest, apart, sums, total, count = 0.0, 0.0, 0.0, 0.0, 0.0, 0
        for j in range(v.shape[1]):
            here = slope[a, j] + pulled[a, j]
            if j < weight.shape[1]:
                here += math.sqrt(mu[a]) * weight[a, j] * (v[a, j] - anchor[a, j])
            if has_low[a, j]:
                here -= lower[a, j]
                product = lower[a, j] * (v[a, j] - low[a, j])
                largest, apart = max(largest, product), max(apart, abs(product - mu[a]))
                sums, total, count = sums + lower[a, j], total + product, count + 1
            if has_high[a, j]:
                here += upper[a, j]
                product = upper[a, j] * (high[a, j] - v[a, j])
                largest, apart = max(largest, product), max(apart, abs(product - mu[a]))
                sums, total, count = sums + upper[a, j], total + product, count + 1
            if not abs(here) <= dual:
                dual = abs(here)
        theta, worst, norm, gap = 0.0, 0.0, 0.0, 0.0
        for i in range(rows.shape[1]):
            violation = abs(rows[a, i])
            theta += violation
            norm += abs(multipliers[a, i])
            gap += abs(multipliers[a, i]) * violation
            if not violation <= worst:
                worst = violation
        out[a, 0], out[a, 1], out[a, 2], out[a, 3], out[a, 4] = theta, dual, worst, largest, apart
        out[a, 5], out[a, 6], out[a, 7], out[a, 8], out[a, 9] = norm, sums, count, gap, total
