"""Compiled loops of the condensed system, where its matrix is one band: assemble, factor, solve and refine.

Of one problem: H `(n, k + 1)`, a lower band, column after column; S `(N,)`, added to its diagonal, and that of the
unknowns y after it; rows with `values` `(m, w)` at `places` `(m, w)`, of which the first `lengths[i]` count;
C `(m,)`. y stands in the rows from `first[q]` to `end[q]` with the coefficient `sign[q]`, block after block. All
vectors have x in the order of the band. See `kkt` for the mathematics.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from banded.factor.cholesky_kernels import NARROW, backward_one, factor_one, forward_one
from banded.factor.jit import compiled, exact, fast

Array: TypeAlias = NDArray[Any]
Blocks: TypeAlias = tuple[Array, Array, Array, Array]
allocating = compiled("contract")
MAGNITUDE = 0x7FFF_FFFF_FFFF_FFFF  # the bits of a double without its sign, in the order of absolute values


@exact
def _select(x: Array, k: int) -> Any:
    """The entry that is at place k once x is sorted, which is sorted in part (Hoare 1961, CACM 4:321-322)."""
    low, high = 0, len(x) - 1
    while low < high:
        pivot, i, j = x[k], low, high
        while i <= j:
            while x[i] < pivot:
                i += 1
            while pivot < x[j]:
                j -= 1
            if i <= j:
                x[i], x[j] = x[j], x[i]
                i += 1
                j -= 1
        if j < k:
            low = i
        if k < i:
            high = j
    return x[k]


@exact
def _bits(cells: Array) -> Any:
    """Those of the largest absolute value, of doubles seen as whole numbers: so SIMD can look for it."""
    most = np.int64(0)
    for i in range(len(cells)):
        most = max(most, cells[i] & MAGNITUDE)
    return most


@exact
def _size(H: Array, S: Array, room: Array) -> Any:
    """The largest entry of H or, if that is larger, the median of S `(n,)`; `room` `(n,)` is overwritten."""
    bits = np.int64(_bits(H.reshape(H.size).view(np.int64)))
    largest = bits.view(np.float64)
    middle, below = (len(S) - 1) // 2, 0
    for j in range(len(S)):
        below += S[j] <= largest
        room[j] = S[j]
    return largest if below > middle else _select(room, middle)


@exact
def _soften(
    H: Array, S: Array, values: Array, compliance: float, epsilon: float, blocks: Blocks, C: Array, room: Array
) -> None:
    """C = δ_c + Σ_y 1 / S_y of each row, at least ε |J_i|² / |W|, and 1 in rows without entries."""
    first, end, _, _ = blocks
    n = H.shape[0]
    m, w = values.shape
    size = _size(H, S[:n], room)
    for i in range(m):
        C[i] = compliance
    at = n
    for q in range(len(first)):
        for i in range(first[q], end[q]):
            C[i] += 1 / S[at]
            at += 1
    for i in range(m):
        square = 0.0
        for t in range(w):
            square += values[i, t] * values[i, t]
        C[i] = max(C[i], epsilon * square / size)
        if not C[i] > 0:
            C[i] = 1


@exact
def _condense(H: Array, S: Array, places: Array, lengths: Array, values: Array, C: Array, L: Array) -> int:
    """Factor H + S + Aᵀ C⁻¹ A into L `(n, k + 1)`; 0, or 1 + the row at which that fails."""
    n, w = H.shape
    for j in range(n):
        for d in range(w):
            L[j, d] = H[j, d]
        L[j, 0] += S[j]
    for i in range(places.shape[0]):
        inverse = 1 / C[i]
        for t in range(lengths[i]):
            entry, column = values[i, t] * inverse, places[i, t]
            for s in range(t, lengths[i]):
                d = places[i, s] - column
                if d >= 0:
                    L[column, d] += entry * values[i, s]
                else:
                    L[column + d, -d] += entry * values[i, s]
    info: int = factor_one(L, L)
    return info


@exact
def condense(
    H: Array, S: Array, places: Array, lengths: Array, values: Array, compliance: Array, epsilon: Array,
    blocks: Blocks, C: Array, L: Array, info: Array,
) -> None:  # fmt: skip
    """The same for every problem of a batch, with the C that it takes."""
    for b in range(H.shape[0]):
        if len(places):
            _soften(
                H[b], S[b], values[b], compliance[b], epsilon[b], blocks, C[b], L[b].reshape(L[b].size)[: H.shape[1]]
            )
        info[b] = _condense(H[b], S[b], places, lengths, values[b], C[b], L[b])


@exact
def _once(
    L: Array, S: Array, places: Array, lengths: Array, values: Array, C: Array, blocks: Blocks,
    a: Array, b: Array, v: Array, u: Array,
) -> None:  # fmt: skip
    """The solution v, u for right-hand sides a, b, with C as it is."""
    first, end, sign, _ = blocks
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
        for t in range(lengths[i]):
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
def _subtract_narrow(H: Array, v: Array, above: Array) -> None:
    """Above - H v in place, of a band of few diagonals."""
    n, w = H.shape
    for j in range(n):
        column, x, y = H[j], v[j : j + w], above[j : j + w]
        total = column[0] * x[0]
        for d in range(1, len(x)):
            total += column[d] * x[d]
            y[d] -= column[d] * x[0]
        y[0] -= total


@fast
def _subtract_wide(H: Array, v: Array, above: Array) -> None:
    """The same, SIMD along the columns."""
    n, w = H.shape
    for j in range(n):
        column, x, y = H[j], v[j], above[j : j + w]
        for d in range(len(y)):
            y[d] -= column[d] * x
    for j in range(n):
        column, x = H[j], v[j : j + w]
        total = above.dtype.type(0)
        for d in range(1, len(x)):
            total += column[d] * x[d]
        above[j] -= total


@exact
def _residual(
    H: Array, S: Array, places: Array, lengths: Array, values: Array, compliance: float, blocks: Blocks,
    a: Array, b: Array, v: Array, u: Array, above: Array, below: Array,
) -> None:  # fmt: skip
    """What v, u leave of the right-hand sides of the system itself, in `above` and `below`."""
    first, end, sign, _ = blocks
    n, w = H.shape
    for j in range(n):
        above[j] = a[j] - S[j] * v[j]
    if w > NARROW:
        _subtract_wide(H, v[:n], above[:n])
    else:
        _subtract_narrow(H, v[:n], above[:n])
    for i in range(len(places)):
        total = b[i] + compliance * u[i]
        for t in range(lengths[i]):
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


@exact
def _add(x: Array, y: Array, factor: int) -> None:
    """X + a y in place."""
    for i in range(len(x)):
        x[i] += factor * y[i]


@allocating
def solve(
    L: Array, H: Array, S: Array, places: Array, lengths: Array, values: Array, C: Array, compliance: Array,
    blocks: Blocks, limits: tuple[int, float, float, float], a: Array, b: Array, v: Array, u: Array, error: Array,
) -> None:  # fmt: skip
    """Solve every problem of a batch, and refine while that pays.

    `limits`: refinements, the error that is enough, the share to which each has to bring it, and the condition.
    """
    turns, enough, worth, condition = limits
    size, m = a.shape[1], b.shape[1]
    above, below = np.empty(size, a.dtype), np.empty(m, a.dtype)
    dv, du = np.empty(size, a.dtype), np.empty(m, a.dtype)
    for i in range(a.shape[0]):
        matrix, softened = (H[i], S[i], places, lengths, values[i]), (S[i], places, lengths, values[i], C[i])
        _once(L[i], *softened, blocks, a[i], b[i], v[i], u[i])
        _residual(*matrix, compliance[i], blocks, a[i], b[i], v[i], u[i], above, below)
        error[i] = _error(above, below, a[i], b[i], v[i], u[i], condition)
        for _ in range(turns):
            if not error[i] > enough:
                break
            _once(L[i], *softened, blocks, above, below, dv, du)
            _add(v[i], dv, 1)
            _add(u[i], du, 1)
            _residual(*matrix, compliance[i], blocks, a[i], b[i], v[i], u[i], above, below)
            now = _error(above, below, a[i], b[i], v[i], u[i], condition)
            if not now < error[i]:
                _add(v[i], dv, -1)
                _add(u[i], du, -1)
                break
            going = now < worth * error[i]
            error[i] = now
            if not going:
                break
