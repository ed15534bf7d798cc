"""Compiled kernels that solve with the records of `ldl_kernels`."""

from banded.factor.jit import fast_finite
from banded.factor.ldl_kernels import BAND, BMATE, BPAIR, ONE, PAIR, Array, plain


@fast_finite
def _push(X: Array, flat: Array, p: int, row: Array, lo: int, hi: int) -> None:
    """X[p + lo : p + hi] -= row[lo:hi] X[p]."""
    if X.shape[1] == 1:  # one right-hand side: contiguous along the band
        x, f, v = flat[p + lo : p + hi], row[lo:hi], X[p, 0]
        for i in range(x.shape[0]):
            x[i] -= f[i] * v
    else:
        for i in range(lo, hi):
            for c in range(X.shape[1]):
                X[p + i, c] -= row[i] * X[p, c]


@fast_finite
def _pull(X: Array, flat: Array, p: int, row: Array, lo: int, hi: int) -> None:
    """X[p] -= row[lo:hi] X[p + lo : p + hi]."""
    if X.shape[1] == 1:
        x, f, v = flat[p + lo : p + hi], row[lo:hi], X[p, 0] * 0
        for i in range(x.shape[0]):
            v += f[i] * x[i]
        X[p, 0] -= v
    else:
        for i in range(lo, hi):
            for c in range(X.shape[1]):
                X[p, c] -= row[i] * X[p + i, c]


@fast_finite
def _axpy(X: Array, p: int, f: float, q: int) -> None:
    """X[p] -= f X[q]."""
    for c in range(X.shape[1]):
        X[p, c] -= f * X[q, c]


@plain
def _diagonal(L: Array, order: Array, kind: Array, X: Array) -> None:
    """X = D^-1 X."""
    for t in range(order.shape[0]):
        p = order[t]
        if kind[t] == BAND or kind[t] == ONE:
            for c in range(X.shape[1]):
                X[p, c] /= L[p, 0]
        elif kind[t] == BPAIR or kind[t] == PAIR:
            q, e = order[t + 1], L[p, 1]
            a, b = L[p, 0] / e, L[q, 0] / e
            s = 1 / (a * b - 1) / e
            for c in range(X.shape[1]):
                X[p, c], X[q, c] = s * (b * X[p, c] - X[q, c]), s * (a * X[q, c] - X[p, c])


@plain
def _solve_one(L: Array, order: Array, kind: Array, start: Array, rows: Array, vals: Array, X: Array) -> None:
    """X = A^-1 X, X (n, m) C-contiguous."""
    n, k, flat = L.shape[0], L.shape[1] - 1, X.ravel()
    for t in range(n):
        p = order[t]
        if kind[t] <= BMATE:
            _push(X, flat, p, L[p], 2 if kind[t] == BPAIR else 1, min(k, n - 1 - p) + 1)
        for s in range(start[t], start[t + 1]):
            _axpy(X, rows[s], vals[s], p)
    _diagonal(L, order, kind, X)
    for t in range(n - 1, -1, -1):
        p = order[t]
        if kind[t] <= BMATE:
            _pull(X, flat, p, L[p], 2 if kind[t] == BPAIR else 1, min(k, n - 1 - p) + 1)
        for s in range(start[t], start[t + 1]):
            _axpy(X, p, vals[s], rows[s])


@plain
def solve(L: Array, order: Array, kind: Array, start: Array, rows: Array, vals: Array, X: Array) -> None:
    """X = A^-1 X for every matrix of a batch, X (B, n, m)."""
    for i in range(L.shape[0]):
        _solve_one(L[i], order[i], kind[i], start[i], rows[i], vals[i], X[i])
