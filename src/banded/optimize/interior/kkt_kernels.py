"""Compiled loops of the condensed system, where its matrix is one band: assemble, factor, solve and refine.

Of one problem: H `(k + 1, n)`, a lower band; S `(N,)`, added to its diagonal, and that of the unknowns y after it; rows
with entries `values` `(m, w)` at `places` `(m, w)`; C `(m,)`. y stands in the rows from `first[q]` to `end[q]` with the
coefficient `sign[q]`, block after block. All vectors have x in the order of the band. See `kkt` for the mathematics.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from banded.factor.cholesky_kernels import backward_one, factor_one, forward_one, turn
from banded.factor.jit import compiled, exact

Array: TypeAlias = NDArray[Any]
Blocks: TypeAlias = tuple[Array, Array, Array]
allocating = compiled("contract")


@exact
def _condense(H: Array, S: Array, places: Array, values: Array, C: Array, L: Array) -> int:
    """Factor H + S + Aᵀ C⁻¹ A into L `(n, k + 1)`; 0, or 1 + the row at which that fails."""
    turn(H, L)
    m, w = places.shape
    for j in range(L.shape[0]):
        L[j, 0] += S[j]
    for i in range(m):
        inverse = 1 / C[i]
        for t in range(w):
            entry = values[i, t] * inverse
            row = places[i, t]
            for s in range(w):
                if row >= places[i, s]:
                    L[places[i, s], row - places[i, s]] += entry * values[i, s]
    info: int = factor_one(L, L)
    return info


@exact
def condense(H: Array, S: Array, places: Array, values: Array, C: Array, L: Array, info: Array) -> None:
    """The same for every problem of a batch."""
    for b in range(H.shape[0]):
        info[b] = _condense(H[b], S[b], places, values[b], C[b], L[b])


@exact
def _once(
    L: Array, S: Array, places: Array, values: Array, C: Array, blocks: Blocks, a: Array, b: Array, v: Array, u: Array
) -> None:
    """The solution v, u for right-hand sides a, b, with C as it is."""
    first, end, sign = blocks
    n = L.shape[0]
    m, w = places.shape
    for i in range(m):
        u[i] = b[i]
    at = n
    for q in range(len(first)):
        for i in range(first[q], end[q]):
            v[at] = a[at] / S[at]
            u[i] -= sign[q] * v[at]
            at += 1
    for j in range(n):
        v[j] = a[j]
    for i in range(m):
        scaled = u[i] / C[i]
        for t in range(w):
            v[places[i, t]] += values[i, t] * scaled
    x = v[:n].reshape(n, 1)
    forward_one(L, x)
    backward_one(L, x)
    for i in range(m):
        total = -u[i]
        for t in range(w):
            total += values[i, t] * v[places[i, t]]
        u[i] = total / C[i]
    at = n
    for q in range(len(first)):
        for i in range(first[q], end[q]):
            v[at] -= sign[q] * u[i] / S[at]
            at += 1


@exact
def _residual(
    H: Array, S: Array, places: Array, values: Array, compliance: float, blocks: Blocks,
    a: Array, b: Array, v: Array, u: Array, above: Array, below: Array,
) -> None:  # fmt: skip
    """What v, u leave of the right-hand sides of the system itself, in `above` and `below`."""
    first, end, sign = blocks
    k, n = H.shape[0] - 1, H.shape[1]
    m, w = places.shape
    for j in range(n):
        above[j] = a[j] - (S[j] + H[0, j]) * v[j]
    for d in range(1, k + 1):
        for j in range(n - d):
            above[j + d] -= H[d, j] * v[j]
        for j in range(n - d):
            above[j] -= H[d, j] * v[j + d]
    for i in range(m):
        total = b[i] + compliance * u[i]
        for t in range(w):
            total -= values[i, t] * v[places[i, t]]
            above[places[i, t]] -= values[i, t] * u[i]
        below[i] = total
    at = n
    for q in range(len(first)):
        for i in range(first[q], end[q]):
            below[i] -= sign[q] * v[at]
            above[at] = a[at] - S[at] * v[at] - sign[q] * u[i]
            at += 1


@exact
def _peak(x: Array) -> Any:
    """Largest absolute entry; not a number where one is none."""
    peak = x.dtype.type(0)
    for i in range(len(x)):
        if not abs(x[i]) <= peak:
            peak = abs(x[i])
            if not peak >= 0:
                return peak
    return peak


@exact
def _error(above: Array, below: Array, a: Array, b: Array, v: Array, u: Array, condition: float) -> Any:
    """The residuals beside what they are of, as `kkt` has them."""
    size = max(_peak(a), _peak(b))
    most, moved = condition * size, _peak(v)
    of_a, of_b = _peak(a) + min(max(moved, _peak(u)), most), _peak(b) + min(moved, most)
    first, second = _peak(above), _peak(below)
    if of_a > 0:
        first /= of_a
    if of_b > 0:
        second /= of_b
    return max(first, second) if first == first and second == second else np.nan


@allocating
def solve(
    L: Array, H: Array, S: Array, places: Array, values: Array, C: Array, compliance: Array, blocks: Blocks,
    limits: tuple[int, float, float, float], a: Array, b: Array, v: Array, u: Array, error: Array,
) -> None:  # fmt: skip
    """Solve every problem of a batch, and refine while that pays.

    `limits`: refinements, the error that is enough, the share to which each has to bring it, and the condition.
    """
    turns, enough, worth, condition = limits
    size, m = a.shape[1], b.shape[1]
    above, below = np.empty(size, a.dtype), np.empty(m, a.dtype)
    dv, du = np.empty(size, a.dtype), np.empty(m, a.dtype)
    for i in range(a.shape[0]):
        _once(L[i], S[i], places, values[i], C[i], blocks, a[i], b[i], v[i], u[i])
        _residual(H[i], S[i], places, values[i], compliance[i], blocks, a[i], b[i], v[i], u[i], above, below)
        error[i] = _error(above, below, a[i], b[i], v[i], u[i], condition)
        for _ in range(turns):
            if not error[i] > enough:
                break
            _once(L[i], S[i], places, values[i], C[i], blocks, above, below, dv, du)
            v[i] += dv
            u[i] += du
            _residual(H[i], S[i], places, values[i], compliance[i], blocks, a[i], b[i], v[i], u[i], above, below)
            now = _error(above, below, a[i], b[i], v[i], u[i], condition)
            if not now < error[i]:
                v[i] -= dv
                u[i] -= du
                break
            going = now < worth * error[i]
            error[i] = now
            if not going:
                break
