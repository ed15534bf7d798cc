"""The compiled loops of `loops`: what `arithmetic` computes, of a batch of problems one after another.

Of each problem: `bounds` are lower, upper, has_lower, has_upper `(N,)` and free `(n,)`; `near` are weight and anchor of
the proximal term, `(K,)`, K = 0 without; `blocks` are first rows, ends, signs and costs; z are the multipliers of lower
and upper bounds. Sums that steps are compared by are added up in pieces, which keeps rounding errors small.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from banded.factor.jit import exact
from banded.optimize.interior.barrier import DAMPING

Array: TypeAlias = NDArray[Any]
Arrays: TypeAlias = tuple[Array, ...]
Bounds: TypeAlias = tuple[Array, Array, Array, Array, Array]
Pair: TypeAlias = tuple[Array, Array]

PIECE = 256  # of a sum
SMALL, LARGE = 1e-100, 1e100  # within which distances are multiplied, for one logarithm of many
TINY = np.finfo(np.float64).tiny


@exact
def _larger(x: float, y: float) -> float:
    """The larger one; not a number where one is none."""
    return y if y > x or y != y else x


@exact
def _of(bounds: Bounds, b: int) -> Bounds:
    """Those of one problem."""
    lower, upper, has_lower, has_upper, free = bounds
    return lower[b], upper[b], has_lower[b], has_upper[b], free[b]


@exact
def _times(product: float, logs: float, x: float) -> tuple[float, float]:
    """Log x added to `logs`, or x multiplied with `product`, whose logarithm is still to be added."""
    if not SMALL < x < LARGE:
        return product, logs + np.log(x)
    product *= x
    if not SMALL < product < LARGE:
        return 1.0, logs + np.log(product)
    return product, logs


@exact
def _barrier_piece(bounds: Bounds, v: Array, start: int, end: int) -> Any:
    """Those terms of the barrier function, over μ."""
    lower, upper, has_lower, has_upper, _ = bounds
    product, logs, damped = 1.0, 0.0, 0.0
    for j in range(start, end):
        if has_lower[j]:
            product, logs = _times(product, logs, v[j] - lower[j])
            if not has_upper[j]:
                damped += v[j] - lower[j]
        if has_upper[j]:
            product, logs = _times(product, logs, upper[j] - v[j])
            if not has_lower[j]:
                damped += upper[j] - v[j]
    return DAMPING * damped - (logs + np.log(product))


@exact
def _barrier_function(bounds: Bounds, near: Pair, v: Array, value: float, mu: float) -> Any:
    """The objective with what is added to it."""
    weight, anchor = near
    of_bounds = 0.0
    for start in range(0, len(v), PIECE):
        of_bounds += _barrier_piece(bounds, v, start, min(start + PIECE, len(v)))
    away = 0.0
    for start in range(0, len(weight), PIECE):
        piece = 0.0
        for j in range(start, min(start + PIECE, len(weight))):
            piece += weight[j] * (v[j] - anchor[j]) ** 2
        away += piece
    return value + mu * of_bounds + 0.5 * np.sqrt(mu) * away


@exact
def _violation(rows: Array) -> tuple[float, float]:
    """Sum and maximum of the absolute values."""
    total = peak = 0.0
    for start in range(0, len(rows), PIECE):
        piece = 0.0
        for i in range(start, min(start + PIECE, len(rows))):
            piece += abs(rows[i])
            peak = _larger(peak, abs(rows[i]))
        total += piece
    return total, peak


@exact
def _dot(x: Array, y: Array) -> float:
    """The inner product."""
    total = 0.0
    for start in range(0, len(x), PIECE):
        piece = 0.0
        for i in range(start, min(start + PIECE, len(x))):
            piece += x[i] * y[i]
        total += piece
    return total


@exact
def _measure(
    bounds: Bounds, near: Pair, v: Array, multipliers: Array, z: Pair, rows: Array, gradient: Array, mu: float,
    limit: float, out: Array,
) -> None:  # fmt: skip
    """What does not depend on the objective."""
    lower, upper, has_lower, has_upper, _ = bounds
    weight, anchor = near
    root, m, count = np.sqrt(mu), len(rows), 0
    dual = product = apart = sums = gap = owed = norm = 0.0
    for j in range(len(v)):
        total = gradient[j] - z[0][j] + z[1][j]
        if j < len(weight):
            total += root * weight[j] * (v[j] - anchor[j])
        dual = _larger(dual, abs(total))
        sums += z[0][j] + z[1][j]
        if has_lower[j]:
            one = z[0][j] * (v[j] - lower[j])
            product, apart = _larger(product, one), _larger(apart, abs(one - mu))
            gap += one
            count += 1
        if has_upper[j]:
            one = z[1][j] * (upper[j] - v[j])
            product, apart = _larger(product, one), _larger(apart, abs(one - mu))
            gap += one
            count += 1
    for i in range(m):
        norm += abs(multipliers[i])
        owed += abs(multipliers[i]) * abs(rows[i])
    out[0], out[3] = _violation(rows)
    out[2], out[4], out[5], out[9], out[11] = dual, product, apart, owed + gap, gap / max(count, 1)
    out[6] = _larger((norm + sums) / max(count + m, 1), limit) / limit
    out[7] = _larger(sums / max(count, 1), limit) / limit


@exact
def measures(
    bounds: Bounds, near: Pair, v: Array, multipliers: Array, z: Pair, value: Array, rows: Array, gradient: Array,
    mu: Array, objective: Array, limit: float, out: Array,
) -> None:  # fmt: skip
    """`Arithmetic.measures`, with s_max as the `limit`, in `out` `(A, 12)`."""
    for b in range(len(v)):
        limits, pull, pair = _of(bounds, b), (near[0][b], near[1][b]), (z[0][b], z[1][b])
        _measure(limits, pull, v[b], multipliers[b], pair, rows[b], gradient[b], mu[b], limit, out[b])
        out[b, 1] = _barrier_function(limits, pull, v[b], value[b], mu[b])
        out[b, 8], out[b, 10] = objective[b], _larger(1.0, abs(value[b]))


@exact
def _slope(bounds: Bounds, near: Pair, v: Array, mu: float, root: float, j: int) -> float:
    """The derivative of what is added to the objective; `root` is √μ."""
    lower, upper, has_lower, has_upper, _ = bounds
    total = 0.0
    if has_lower[j]:
        total -= mu / (v[j] - lower[j])
        if not has_upper[j]:
            total += mu * DAMPING
    if has_upper[j]:
        total += mu / (upper[j] - v[j])
        if not has_lower[j]:
            total -= mu * DAMPING
    if j < len(near[0]):
        total += root * near[0][j] * (v[j] - near[1][j])
    return total


@exact
def system(
    bounds: Bounds, near: Pair, v: Array, z: Pair, gradient: Array, mu: Array, shift: Array, S: Array, a: Array
) -> None:
    """`Arithmetic.system`."""
    for b in range(len(v)):
        limits, pull = _of(bounds, b), (near[0][b], near[1][b])
        lower, upper, has_lower, has_upper, free = limits
        root = np.sqrt(mu[b])
        for j in range(v.shape[1]):
            total = shift[b]
            if has_lower[j]:
                total += z[0][b, j] / (v[b, j] - lower[j])
            if has_upper[j]:
                total += z[1][b, j] / (upper[j] - v[b, j])
            if j < len(pull[0]):
                total += root * pull[0][j]
            S[b, j] = total if j >= len(free) or free[j] else 1
            a[b, j] = -(gradient[b, j] + _slope(limits, pull, v[b], mu[b], root, j))


@exact
def _used(room: float, step: float) -> float:
    """The share of the room that a step to a bound takes."""
    return -step / (room if room > 0 else 1.0)


@exact
def _part(tau: float, used: float) -> float:
    """The longest part of a step that uses up no more than τ."""
    part = tau / _larger(TINY, used)
    return 1.0 if part > 1 else part


@exact
def _step(
    bounds: Bounds, near: Pair, v: Array, z: Pair, slope: Array, d: Array, mu: float, tau: float, dz: Pair, out: Array
) -> None:
    lower, upper, has_lower, has_upper, _ = bounds
    root = np.sqrt(mu)
    downhill = primal = dual = size = length = 0.0
    for start in range(0, len(v), PIECE):
        piece = 0.0
        for j in range(start, min(start + PIECE, len(v))):
            piece += (slope[j] + _slope(bounds, near, v, mu, root, j)) * d[j]
            dz[0][j] = dz[1][j] = 0
            if has_lower[j]:
                room = v[j] - lower[j]
                dz[0][j] = (mu - z[0][j] * d[j]) / room - z[0][j]
                primal, dual = _larger(primal, _used(room, d[j])), _larger(dual, _used(z[0][j], dz[0][j]))
            if has_upper[j]:
                room = upper[j] - v[j]
                dz[1][j] = (mu + z[1][j] * d[j]) / room - z[1][j]
                primal, dual = _larger(primal, _used(room, -d[j])), _larger(dual, _used(z[1][j], dz[1][j]))
            size, length = _larger(size, abs(d[j]) / (1 + abs(v[j]))), _larger(length, abs(d[j]))
        downhill += piece
    out[0], out[1], out[2], out[3], out[4] = downhill, _part(tau, primal), _part(tau, dual), size, length


@exact
def step(
    bounds: Bounds, near: Pair, v: Array, z: Pair, slope: Array, d: Array, mu: Array, tau: Array, dz: Pair, out: Array
) -> None:
    """`Arithmetic.step` for a step d of v, in dz and `out` `(A, 5)`."""
    for b in range(len(v)):
        pairs = (z[0][b], z[1][b]), (dz[0][b], dz[1][b])
        pull = near[0][b], near[1][b]
        _step(_of(bounds, b), pull, v[b], pairs[0], slope[b], d[b], mu[b], tau[b], pairs[1], out[b])


@exact
def trials(
    bounds: Bounds, near: Pair, v: Array, multipliers: Array, value: Array, rows: Array, mu: Array, objective: Array,
    out: Array,
) -> None:  # fmt: skip
    """`Arithmetic.trials`, in `out` `(A, 5)`."""
    for b in range(len(v)):
        out[b, 0], out[b, 3] = _violation(rows[b])
        out[b, 1] = _barrier_function(_of(bounds, b), (near[0][b], near[1][b]), v[b], value[b], mu[b])
        out[b, 2], out[b, 4] = objective[b], out[b, 1] + _dot(multipliers[b], rows[b])


@exact
def _between(z: float, middle: float, spread: float) -> float:
    """Z, but near enough to the middle."""
    if z < middle / spread:
        return middle / spread
    return middle * spread if z > middle * spread else z


@exact
def accepted(bounds: Bounds, v: Array, z: Pair, dz: Pair, part: Array, mu: Array, spread: float, new: Pair) -> None:
    """`Arithmetic.accepted` at v, with κ_Σ as the `spread`."""
    lower, upper, has_lower, has_upper, _ = bounds
    for b in range(len(v)):
        for j in range(v.shape[1]):
            new[0][b, j] = new[1][b, j] = 0
            if has_lower[b, j]:
                middle = mu[b] / (v[b, j] - lower[b, j])
                new[0][b, j] = _between(z[0][b, j] + part[b] * dz[0][b, j], middle, spread)
            if has_upper[b, j]:
                middle = mu[b] / (upper[b, j] - v[b, j])
                new[1][b, j] = _between(z[1][b, j] + part[b] * dz[1][b, j], middle, spread)


@exact
def _looked(
    free: Array, blocks: Arrays, columns: Array, v: Array, multipliers: Array, scale: Array, found: Array,
    values: Array, rows: Array, slope: Array, gradient: Array,
) -> tuple[float, float]:  # fmt: skip
    """Returns the costs of y, and a sum of all derivatives."""
    first, end, sign, cost = blocks
    n = len(free)
    total = costs = 0.0
    for j in range(n):
        gradient[j] = found[j] if free[j] else 0.0
        slope[j] = gradient[j]
    for i in range(len(rows)):
        rows[i] *= scale[i]
        for t in range(columns.shape[1]):
            column = columns[i, t]
            values[i, t] = values[i, t] * scale[i] if free[column] else 0.0
            slope[column] -= values[i, t] * multipliers[i]
            total += values[i, t]
    at = n
    for q in range(len(first)):
        for i in range(first[q], end[q]):
            rows[i] += sign[q] * v[at]
            slope[at], gradient[at] = cost[q], cost[q] + sign[q] * multipliers[i]
            costs += cost[q] * v[at]
            at += 1
    for j in range(n):
        total += slope[j]
    return costs, total


@exact
def looked(
    free: Array, blocks: Arrays, columns: Array, v: Array, multipliers: Array, factor: Array, scale: Array,
    found: Array, values: Array, value: Array, rows: Array, slope: Array, gradient: Array, sums: Array, finite: Array,
) -> None:  # fmt: skip
    """`Arithmetic.looked`: entries of J, f and r are scaled in place; of H, `sums` are given."""
    for b in range(len(v)):
        here = free[b], blocks, columns, v[b], multipliers[b], scale[b], found[b]
        costs, total = _looked(*here, values[b], rows[b], slope[b], gradient[b])
        value[b] = factor[b] * value[b] + costs
        finite[b] = np.isfinite(total + sums[b] + value[b])
