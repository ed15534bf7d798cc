"""Compiled kernels of the Cholesky factorisation of bands.

One matrix is `(n, k + 1)`, `columns[j, d] = A[j + d, j]`; a batch `(B, n, k + 1)`,
C-contiguous. Cells with j + d >= n are never read as values, and written as zero. Types are
float32, float64, and complex128, without conjugates, for derivatives by complex steps.
"""

import numpy as np
from numpy.typing import NDArray

from banded.factor.jit import compiled, exact, fast

Array = NDArray[np.inexact]
allocating = compiled("contract", "nsz", "reassoc")
SQUARE = 20  # up to this k + 1, half of a window takes less time than all of it
NARROW = 14  # up to this k + 1, scalar substitution beats SIMD (store forwarding)


@fast
def factor_one(a: Array, L: Array) -> int:
    """Right-looking band Cholesky (LAPACK pbtf2), square root off the critical path."""
    n, w = a.shape
    k = w - 1
    one, nan = L.dtype.type(1), L.dtype.type(np.nan)
    bad = 0
    for j in range(min(k, n)):
        for d in range(w):
            L[j, d] = a[j, d]
    for j in range(n):
        m = min(k, n - 1 - j)
        if j + k < n:
            for d in range(w):
                L[j + k, d] = a[j + k, d]
        pivot = L[j, 0]
        if not pivot.real > 0:
            pivot = nan
            if bad == 0:
                bad = j + 1
        inv = one / pivot
        for c in range(1, m + 1):
            f = L[j, c] * inv
            for e in range(m - c + 1):
                L[j + c, e] -= f * L[j, c + e]
        root = np.sqrt(pivot)
        L[j, 0] = root
        if inv != 0:  # not for an infinite pivot
            inv = root * inv
        for d in range(1, m + 1):
            L[j, d] *= inv
    for j in range(max(n - k, 0), n):
        for d in range(n - j, w):
            L[j, d] = 0
    return bad


@exact
def _forward_narrow(L: Array, x: Array) -> None:
    """L x = b in place, one right-hand side, the next unknown kept in a register."""
    n, w = L.shape
    one = L.dtype.type(1)
    nxt = x[0]
    for j in range(n):
        m = min(w, n - j)
        y = nxt * (one / L[j, 0])
        x[j] = y
        if j + 1 < n:
            nxt = x[j + 1]
        if m > 1:
            nxt -= L[j, 1] * y
        for d in range(2, m):
            x[j + d] -= L[j, d] * y


@exact
def _forward_wide(L: Array, x: Array) -> None:
    """L x = b in place, one right-hand side, SIMD along the column."""
    one = L.dtype.type(1)
    for j in range(L.shape[0]):
        c, z = L[j], x[j : j + L.shape[1]]
        y = z[0] * (one / c[0])
        z[0] = y
        for d in range(1, len(z)):
            z[d] -= c[d] * y


@exact
def _backward_narrow(L: Array, x: Array) -> None:
    """L^T x = b in place, one right-hand side, nearest unknown last."""
    n, w = L.shape
    one = L.dtype.type(1)
    for j in range(n - 1, -1, -1):
        t = x[j]
        for d in range(min(w, n - j) - 1, 0, -1):
            t -= L[j, d] * x[j + d]
        x[j] = t * (one / L[j, 0])


@fast
def _backward_wide(L: Array, x: Array) -> None:
    """L^T x = b in place, one right-hand side, SIMD dot products."""
    n, w = L.shape
    one = L.dtype.type(1)
    for j in range(n - 1, -1, -1):
        t = x[j] - x[j]
        for d in range(min(w, n - j) - 1, 0, -1):
            t += L[j, d] * x[j + d]
        x[j] = (x[j] - t) * (one / L[j, 0])


@exact
def _forward_rows(L: Array, x: Array) -> None:
    """L x = b in place, many right-hand sides, SIMD across them."""
    n, w = L.shape
    one = L.dtype.type(1)
    r = x.shape[1]
    for j in range(n):
        m = min(w, n - j)
        f = one / L[j, 0]
        for i in range(r):
            x[j, i] *= f
        for d in range(1, m):
            f = L[j, d]
            for i in range(r):
                x[j + d, i] -= f * x[j, i]


@exact
def _backward_rows(L: Array, x: Array) -> None:
    """L^T x = b in place, many right-hand sides, four rows at a time."""
    n, w = L.shape
    one = L.dtype.type(1)
    r = x.shape[1]
    for j in range(n - 1, -1, -1):
        d = min(w, n - j) - 1
        while d >= 4:
            a, b, c, e = L[j, d], L[j, d - 1], L[j, d - 2], L[j, d - 3]
            p = j + d
            for i in range(r):
                x[j, i] -= (a * x[p, i] + b * x[p - 1, i]) + (c * x[p - 2, i] + e * x[p - 3, i])
            d -= 4
        while d > 0:
            f = L[j, d]
            for i in range(r):
                x[j, i] -= f * x[j + d, i]
            d -= 1
        f = one / L[j, 0]
        for i in range(r):
            x[j, i] *= f


@allocating
def _inverse_narrow(L: Array, s: Array) -> None:
    """Takahashi, Fagan & Chen (1973): each entry that is there already is used for two."""
    n, w = L.shape
    one, zero = L.dtype.type(1), L.dtype.type(0)
    v, x = np.empty(w, L.dtype), np.empty(w, L.dtype)
    for j in range(n - 1, -1, -1):
        m = min(w, n - j)
        inv = one / L[j, 0]
        for d in range(1, m):
            v[d] = L[j, d] * inv
            x[d] = zero
        for c in range(1, m):
            here = s[j + c, 0] * v[c]
            for i in range(1, m - c):
                x[c + i] -= v[c] * s[j + c, i]
                here += v[c + i] * s[j + c, i]
            x[c] -= here
        t = inv * inv
        for d in range(1, m):
            s[j, d] = x[d]
            t -= x[d] * v[d]
        s[j, 0] = t
        for d in range(m, w):
            s[j, d] = zero


@allocating
def _inverse_wide(L: Array, s: Array) -> None:
    """The same with a dense k + 1 by k + 1 window, whose indices are cyclic: more work, in longer loops."""
    n, w = L.shape
    one, zero = L.dtype.type(1), L.dtype.type(0)
    v, x = np.empty(w, L.dtype), np.empty(w, L.dtype)
    g = np.zeros((w, w), L.dtype)  # g[i % w, j % w] = (A^-1)[i, j], zero at row and column p
    for j in range(n - 1, -1, -1):
        p = j % w
        m = min(w, n - j)
        inv = one / L[j, 0]
        for i in range(w):
            v[i] = x[i] = g[p, i] = g[i, p] = zero
        for d in range(1, m):
            v[(p + d) % w] = L[j, d] * inv
        for c in range(w):
            for i in range(w):
                x[i] -= v[c] * g[c, i]
        t = inv * inv
        for i in range(w):
            t -= x[i] * v[i]
        for i in range(w):
            g[p, i] = g[i, p] = x[i]
        g[p, p] = t
        for d in range(m):
            s[j, d] = g[p, (p + d) % w]
        for d in range(m, w):
            s[j, d] = zero


@exact
def factor(a: Array, L: Array, info: Array) -> None:
    """A = L L^T of every matrix; info is 0, or 1 + the first row whose pivot is not > 0."""
    for b in range(a.shape[0]):
        info[b] = factor_one(a[b], L[b])


@exact
def factor_bands(bands: Array, L: Array, info: Array) -> None:
    """The same from bands (B, k + 1, n), turned one by one while they are in the cache."""
    for b in range(bands.shape[0]):
        turn(bands[b], L[b])
        info[b] = factor_one(L[b], L[b])


@exact
def turn(band: Array, columns: Array) -> None:
    """Columns = band^T, in pieces."""
    w, n = band.shape
    for start in range(0, n, 512):
        for d in range(w):
            for j in range(start, min(start + 512, n)):
                columns[j, d] = band[d, j]


@exact
def forward_one(L: Array, x: Array) -> None:
    """L x = b in place, x (n, m)."""
    if x.size == 0:
        return
    if x.shape[1] > 1:
        _forward_rows(L, x)
    elif L.shape[1] > NARROW:
        _forward_wide(L, x.reshape(x.size))
    else:
        _forward_narrow(L, x.reshape(x.size))


@exact
def backward_one(L: Array, x: Array) -> None:
    """L^T x = b in place, x (n, m)."""
    if x.size == 0:
        return
    if x.shape[1] > 1:
        _backward_rows(L, x)
    elif L.shape[1] > NARROW:
        _backward_wide(L, x.reshape(x.size))
    else:
        _backward_narrow(L, x.reshape(x.size))


@allocating
def backward(L: Array, b: Array, x: Array) -> None:
    """L^T x = b for every matrix, b and x (B, n, m)."""
    for i in range(L.shape[0]):
        x[i] = b[i]
        backward_one(L[i], x[i])


@allocating
def solve(L: Array, b: Array, x: Array) -> None:
    """L L^T x = b for every matrix, b and x (B, n, m)."""
    for i in range(L.shape[0]):
        x[i] = b[i]
        forward_one(L[i], x[i])
        backward_one(L[i], x[i])


@allocating
def solve_at_once(a: Array, b: Array, x: Array, info: Array) -> None:
    """Factor and solve for every matrix, without keeping the factors: all of one stays in the cache."""
    L = np.empty(a.shape[1:], a.dtype)
    for i in range(a.shape[0]):
        info[i] = factor_one(a[i], L)
        x[i] = b[i]
        forward_one(L, x[i])
        backward_one(L, x[i])


@allocating
def inverse_band(L: Array, s: Array) -> None:
    """s[b, j, d] = (A^-1)[j + d, j] for every matrix, from its Cholesky factor."""
    for b in range(L.shape[0]):
        if L.shape[2] > SQUARE:
            _inverse_wide(L[b], s[b])
        else:
            _inverse_narrow(L[b], s[b])
