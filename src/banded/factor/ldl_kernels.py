"""Compiled kernels of the LDLᵀ factorisation of symmetric indefinite bands: a chain of fronts with delayed pivots.

Duff & Reid 1983 (ACM TOMS 9:302-325; fronts and delayed pivots), Duff & Pralet 2005 (SIAM J. Matrix Anal. Appl.
27:313-340; threshold tests for 1x1 and 2x2 pivots), Bunch & Kaufman 1977 (Math. Comp. 31:163-179; growth).

A pivot accepted in natural order stays in the band; a refused one opens a dense front that lasts while any variable
waits. L is stored in the band, in place, and, for pivots of a front, as pairs of row and value in the order of
elimination. One matrix is `(n, k + 1)`, `L[j, d] = A[j + d, j]`. What is written, `out`, is

    order (n,)      the variable eliminated at each step
    kind (n,)       BAND, BPAIR, BMATE: 1x1, first and second of a 2x2 within the band; ONE, PAIR, MATE: in a front
    start (n + 1,)  where the multipliers of each step start in rows and vals
    rows, vals      rows and values of the multipliers that the band has no room for
    info (8,)       see below
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from banded.factor.jit import compiled, fast_finite, plain

Array: TypeAlias = NDArray[Any]
Out: TypeAlias = tuple[Array, Array, Array, Array, Array, Array]

U = 0.1  # threshold: multipliers stay below 1 / U, except where the diagonal bounds the growth
POS, NEG, ZERO, FIRST, WIDEST, FORCED, DONE, USED = range(8)  # info: inertia, first zero row (-1), front, counters
BAND, BPAIR, BMATE, ONE, PAIR, MATE = range(6)  # pivots: 1x1, first and second of a 2x2 in the band; same in a front


@fast_finite
def _peak(row: Array, lo: int, hi: int, p: int, q: int) -> Any:
    """Largest |row[lo:hi]| without p and q, 0 if empty."""
    top = row[0] * 0
    for i in range(lo, hi):
        if i != p and i != q:
            top = max(top, abs(row[i]))
    return top


@plain
def _two_ok(p: float, q: float, e: float, cp: float, cq: float, u: float) -> bool:
    """Threshold test of the 2x2 pivot [[p, e], [e, q]], cp and cq the peaks of its columns outside it."""
    a, b = p / e, q / e
    room = (1 - a * b) * abs(e) / u
    # a definite block splits into two 1x1 pivots without more growth: only indefinite ones are taken, far from singular
    return a * b < 0.5 and abs(b) * cp + cq <= room and cp + abs(a) * cq <= room


@plain
def _note(g: int, how: int, out: Out) -> None:
    """Append pivot variable g to the order."""
    order, kind, start, _, _, info = out
    t = info[DONE]
    order[t], kind[t], start[t + 1], info[DONE] = g, how, info[USED], t + 1


@plain
def _store(row: int, value: float, out: Out) -> None:
    """Append one multiplier; past the capacity only count it."""
    rows, vals, info = out[3], out[4], out[5]
    at = info[USED]
    if at < rows.shape[0]:
        rows[at], vals[at] = row, value
    info[USED] = at + 1


@plain
def _tally(d: float, p: int, info: Array) -> None:
    """Count the sign of the pivot d of variable p."""
    if d > 0:
        info[POS] += 1
    elif d < 0:
        info[NEG] += 1
    else:  # zero or NaN
        info[ZERO] += 1
        if info[FIRST] < 0:
            info[FIRST] = p


@plain
def _one_in_band(L: Array, j: int, m: int, u: float) -> bool:
    """May column j go in place: small multipliers, or growth bounded by the diagonal (so every definite matrix)?"""
    d = abs(L[j, 0])
    small = True
    for i in range(1, m + 1):
        small &= d >= u * abs(L[j, i])
    if small:
        return True
    for i in range(1, m + 1):
        if not abs(L[j, i]) <= np.sqrt(d) * np.sqrt(abs(L[j + i, 0])):
            return False
    return True


@fast_finite
def _band_one(L: Array, mass: Array, j: int, m: int) -> None:
    """Rank-1 update of the band behind pivot j; row j becomes multipliers."""
    inv = 1 / L[j, 0]
    for i in range(1, m + 1):
        f = L[j, i] * inv
        mass[j + i] += abs(f * L[j, i])
        for c in range(m + 1 - i):
            L[j + i, c] -= f * L[j, i + c]
    for i in range(1, m + 1):
        L[j, i] *= inv


@fast_finite
def _band_two(L: Array, mass: Array, j: int, m: int, x: Array, y: Array) -> Any:
    """Rank-2 update behind the pivot (j, j + 1), m rows; returns the multiplier of column j that leaves its row."""
    p, q, e = L[j, 0], L[j + 1, 0], L[j, 1]
    for i in range(m):
        x[i], y[i] = L[j, i + 2] if i + 2 < L.shape[1] else 0, L[j + 1, i + 1]
    a, b = p / e, q / e
    s = 1 / (a * b - 1) / e
    last = s * 0
    for i in range(m):
        f, g = s * (b * x[i] - y[i]), s * (a * y[i] - x[i])
        mass[j + 2 + i] += abs(f * x[i]) + abs(g * y[i])
        below = L[j + 2 + i]
        for c in range(m - i):
            below[c] -= f * x[i + c] + g * y[i + c]
        L[j + 1, i + 1] = g
        if i + 2 < L.shape[1]:
            L[j, i + 2] = f
        else:
            last = f
    return last


@plain
def _in_band(L: Array, mass: Array, j: int, u: float, tau: float, f: Array, out: Out) -> int:
    """Eliminate column j (and j + 1) inside the band if the tests allow; returns the number of columns done."""
    n, k = L.shape[0], L.shape[1] - 1
    m, m2, info = min(k, n - 1 - j), min(k, n - 2 - j), out[5]
    if _one_in_band(L, j, m, u):
        tiny = tau * mass[j]
        if abs(L[j, 0]) <= tiny and u * _peak(L[j], 1, m + 1, 0, 0) <= tiny:
            L[j, : m + 1] = 0
        else:
            _band_one(L, mass, j, m)
        _tally(L[j, 0], j, info)
        _note(j, BAND, out)
        return 1
    cp, cq = _peak(L[j], 2, m + 1, 0, 0), _peak(L[j + 1], 1, m2 + 1, 0, 0)
    if abs(L[j, 1]) < u * cp or not _two_ok(L[j, 0], L[j + 1, 0], L[j, 1], cp, cq, u):
        return 0
    last = _band_two(L, mass, j, m2, f[0], f[1])
    if m2 == k:
        _store(j + k + 1, last, out)
    _note(j, BPAIR, out)
    _note(j + 1, BMATE, out)
    info[POS] += 1
    info[NEG] += 1
    return 2


@plain
def _enter(L: Array, v: int, S: Array, idx: Array, w: int) -> int:
    """Append variable v to the front of w variables with its entries of A."""
    for a in range(w):
        d = v - idx[a]
        S[w, a] = S[a, w] = L[idx[a], d] if d < L.shape[1] else 0
    S[w, w] = L[v, 0]
    idx[w] = v
    return w + 1


@plain
def _leave(L: Array, S: Array, idx: Array, w: int) -> None:
    """Write a front in which no variable waits back into the band."""
    for a in range(w):
        for b in range(w):
            if idx[b] >= idx[a]:
                L[idx[a], idx[b] - idx[a]] = S[a, b]


@plain
def _drop(S: Array, idx: Array, w: int, p: int) -> int:
    """Remove slot p: the last variable takes its place."""
    w -= 1
    idx[p], S[p, p] = idx[w], S[w, w]
    for a in range(w):
        if a != p:
            S[p, a] = S[w, a]
            S[a, p] = S[a, w]
    return w


@plain
def _scan(S: Array, idx: Array, w: int, p: int, last: int) -> tuple[Any, int]:
    """Largest |S[p, a]|, a != p, and the partner with the largest among the summed variables (idx <= last), or -1."""
    best, q = S[p, p] * 0, -1
    for a in range(w):
        if a != p and idx[a] <= last and abs(S[p, a]) > best:
            best, q = abs(S[p, a]), a
    return _peak(S[p], 0, w, p, p), q


@plain
def _diagonal_ok(S: Array, w: int, p: int) -> bool:
    """Does the diagonal bound the growth behind the 1x1 pivot p: a_ip^2 <= |a_pp a_ii| for all i?"""
    d = np.sqrt(abs(S[p, p]))
    for a in range(w):
        if not abs(S[p, a]) <= d * np.sqrt(abs(S[a, a])):
            return False
    return True


@plain
def _choose(S: Array, idx: Array, w: int, last: int, u: float) -> tuple[int, int]:
    """First acceptable pivot among the summed variables: slots (p, p), (p, q) or (-1, -1)."""
    for p in range(w):
        if idx[p] <= last:
            lead, q = _scan(S, idx, w, p, last)
            if abs(S[p, p]) >= u * lead or _diagonal_ok(S, w, p):
                return p, p
            if q >= 0 and abs(S[p, q]) >= u * lead:
                if _two_ok(S[p, p], S[q, q], S[p, q], _peak(S[p], 0, w, p, q), _peak(S[q], 0, w, p, q), u):
                    return p, q
    return -1, -1


@plain
def _calmest(S: Array, idx: Array, w: int, last: int) -> tuple[int, int, Any]:
    """The summed pivot with the least growth of the front, whatever its multipliers, and that growth."""
    x, y, least = -1, -1, np.inf
    for p in range(w):
        if idx[p] <= last:
            lead, q = _scan(S, idx, w, p, last)
            growth = lead / abs(S[p, p]) * lead
            if x < 0 or growth < least:
                x, y, least = p, p, growth
            if q >= 0:
                e, cp, cq = S[p, q], _peak(S[p], 0, w, p, q), _peak(S[q], 0, w, p, q)
                a, b = S[p, p] / e, S[q, q] / e
                growth = (abs(b) * cp / abs(e) * cp + 2 * cp / abs(e) * cq + abs(a) * cq / abs(e) * cq) / (1 - a * b)
                if a * b < 0.5 and growth < least:
                    x, y, least = p, q, growth
    return x, y, least


@plain
def _relax(S: Array, idx: Array, w: int, last: int, waiting: int, limit: int, u: float, info: Array) -> tuple[int, int]:
    """Many wait: the pivot of least growth if the front bears it or is full, else (-1, -1)."""
    p, q, growth = _calmest(S, idx, w, last)
    lead = growth * 0
    for a in range(w):
        lead = max(lead, _peak(S[a], 0, w, w, w))
    if growth <= lead / u:
        return p, q
    if waiting <= limit:
        return -1, -1
    info[FORCED] += 1
    return p, q


@fast_finite
def _front_one(S: Array, idx: Array, w: int, p: int, f: Array, mass: Array) -> None:
    """Multipliers f and rank-1 update of the front for the 1x1 pivot p."""
    row = S[p]
    inv = 1 / row[p]
    for a in range(w):
        f[a] = row[a] * inv
        if a != p and f[a] != 0:
            mass[idx[a]] += abs(f[a] * row[a])
            for b in range(w):
                S[a, b] -= f[a] * row[b]


@fast_finite
def _front_two(S: Array, idx: Array, w: int, p: int, q: int, f: Array, g: Array, mass: Array) -> None:
    """Multipliers f, g and rank-2 update of the front for the 2x2 pivot (p, q), scaled by its off-diagonal."""
    x, y, e = S[p], S[q], S[p, q]
    r, t = x[p] / e, y[q] / e
    s = 1 / (r * t - 1) / e
    for a in range(w):
        f[a], g[a] = s * (t * x[a] - y[a]), s * (r * y[a] - x[a])
        if a != p and a != q and (f[a] != 0 or g[a] != 0):
            mass[idx[a]] += abs(f[a] * x[a]) + abs(g[a] * y[a])
            for b in range(w):
                S[a, b] -= f[a] * x[b] + g[a] * y[b]


@plain
def _in_front(
    L: Array, mass: Array, S: Array, idx: Array, w: int, p: int, q: int, f: Array, u: float, tau: float, out: Out
) -> int:
    """Eliminate the pivot in slots p, q of the front, record it and return the new width."""
    x, y, info = idx[p], idx[q], out[5]
    L[x, 0] = S[p, p]
    tiny = tau * mass[x]
    if p != q:
        L[x, 1], L[y, 0] = S[p, q], S[q, q]
        _front_two(S, idx, w, p, q, f[0], f[1], mass)
        info[POS] += 1
        info[NEG] += 1
    elif abs(S[p, p]) <= tiny and u * _peak(S[p], 0, w, p, p) <= tiny:
        L[x, 0] = 0
        f[0, :w] = 0
    else:
        _front_one(S, idx, w, p, f[0], mass)
    for c in range(1 if p == q else 2):
        for a in range(w):
            if a != p and a != q and f[c, a] != 0:
                _store(idx[a], f[c, a], out)
        _note(y if c else x, ONE if p == q else PAIR + c, out)
    if p == q:
        _tally(L[x, 0], x, info)
        w = _drop(S, idx, w, p)
    else:
        w = _drop(S, idx, _drop(S, idx, w, max(p, q)), min(p, q))
    return w


@plain
def _front(
    L: Array, mass: Array, j: int, limit: int, S: Array, idx: Array, f: Array, u: float, tau: float, out: Out
) -> int:
    """Eliminate from column j on in a dense front until nothing waits; returns the next column of the band."""
    n, k, info = L.shape[0], L.shape[1] - 1, out[5]
    w, top = 0, min(j + k, n - 1)
    for v in range(j, top + 1):
        w = _enter(L, v, S, idx, w)
    while True:
        last = top - k if top < n - 1 else n - 1  # variables up to it are fully summed
        info[WIDEST] = max(info[WIDEST], w)
        p, q = _choose(S, idx, w, last, u)
        waiting = w - (top - last)
        if p < 0 and waiting > (k if top < n - 1 else 0):
            p, q = _relax(S, idx, w, last, waiting, limit if top < n - 1 else 0, u, info)
        if p >= 0:
            w = _in_front(L, mass, S, idx, w, p, q, f, u, tau, out)
        elif waiting == 0:
            _leave(L, S, idx, w)
            break
        else:
            top += 1
            w = _enter(L, top, S, idx, w)
    return int(last) + 1


@compiled()
def _factor_one(L: Array, limit: int, u: float, tau: float, out: Out) -> None:
    """Factor one matrix in place."""
    n, k, info = L.shape[0], L.shape[1] - 1, out[5]
    mass = np.abs(L[:, 0])  # sum of all that was ever added to each diagonal entry: what is far below it is noise
    wide = min(n, limit + k + 2)
    S, idx, f = np.empty((wide, wide), L.dtype), np.empty(wide, np.int64), np.empty((2, wide), L.dtype)
    info[:], info[FIRST], out[2][0], j = 0, -1, 0, 0
    while j < n:
        done = _in_band(L, mass, j, u, tau, f, out)
        j = j + done if done else _front(L, mass, j, limit, S, idx, f, u, tau, out)


@compiled()
def factor(
    L: Array, thresholds: Array, order: Array, kind: Array, start: Array, rows: Array, vals: Array, info: Array
) -> None:
    """Factor a batch in place; `thresholds` `(B, 3)` are u, tau and how many variables may wait in a front."""
    for i in range(L.shape[0]):
        u, tau, limit = thresholds[i, 0], thresholds[i, 1], int(thresholds[i, 2])
        _factor_one(L[i], limit, u, tau, (order[i], kind[i], start[i], rows[i], vals[i], info[i]))
