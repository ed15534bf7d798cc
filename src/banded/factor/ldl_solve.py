"""Compiled kernels that solve with the records of `ldl_kernels`."""

from banded.factor.cholesky_kernels import NARROW
from banded.factor.jit import fast_finite, plain
from banded.factor.ldl_kernels import BAND, BMATE, BPAIR, ONE, PAIR, Array


@fast_finite
def _forward(L: Array, order: Array, kind: Array, start: Array, rows: Array, vals: Array, x: Array) -> None:
    """L x = b in place, one right-hand side."""
    n, w = L.shape
    for t in range(n):
        p = order[t]
        v = x[p]
        if kind[t] <= BMATE and w > NARROW:
            first = 2 if kind[t] == BPAIR else 1
            z, column = x[p + first : p + w], L[p, first:]
            for i in range(len(z)):
                z[i] -= column[i] * v
        elif kind[t] <= BMATE:
            for i in range(2 if kind[t] == BPAIR else 1, min(w, n - p)):
                x[p + i] -= L[p, i] * v
        for s in range(start[t], start[t + 1]):
            x[rows[s]] -= vals[s] * v


@fast_finite
def _backward(L: Array, order: Array, kind: Array, start: Array, rows: Array, vals: Array, x: Array) -> None:
    """L^T x = b in place, one right-hand side."""
    n, w = L.shape
    for t in range(n - 1, -1, -1):
        p = order[t]
        v = x[p] * 0
        if kind[t] <= BMATE and w > NARROW:
            first = 2 if kind[t] == BPAIR else 1
            z, column = x[p + first : p + w], L[p, first:]
            for i in range(len(z)):
                v += column[i] * z[i]
        elif kind[t] <= BMATE:
            for i in range(2 if kind[t] == BPAIR else 1, min(w, n - p)):
                v += L[p, i] * x[p + i]
        for s in range(start[t], start[t + 1]):
            v += vals[s] * x[rows[s]]
        x[p] -= v


@fast_finite
def _forward_rows(L: Array, order: Array, kind: Array, start: Array, rows: Array, vals: Array, X: Array) -> None:
    """L X = B in place, many right-hand sides."""
    n, w = L.shape
    for t in range(n):
        p = order[t]
        if kind[t] <= BMATE:
            for i in range(2 if kind[t] == BPAIR else 1, min(w, n - p)):
                f = L[p, i]
                for c in range(X.shape[1]):
                    X[p + i, c] -= f * X[p, c]
        for s in range(start[t], start[t + 1]):
            f, i = vals[s], rows[s]
            for c in range(X.shape[1]):
                X[i, c] -= f * X[p, c]


@fast_finite
def _backward_rows(L: Array, order: Array, kind: Array, start: Array, rows: Array, vals: Array, X: Array) -> None:
    """L^T X = B in place, many right-hand sides."""
    n, w = L.shape
    for t in range(n - 1, -1, -1):
        p = order[t]
        if kind[t] <= BMATE:
            for i in range(2 if kind[t] == BPAIR else 1, min(w, n - p)):
                f = L[p, i]
                for c in range(X.shape[1]):
                    X[p, c] -= f * X[p + i, c]
        for s in range(start[t], start[t + 1]):
            f, i = vals[s], rows[s]
            for c in range(X.shape[1]):
                X[p, c] -= f * X[i, c]


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
def solve(L: Array, order: Array, kind: Array, start: Array, rows: Array, vals: Array, X: Array) -> None:
    """X = A^-1 X for every matrix of a batch, X (B, n, m), C-contiguous."""
    for i in range(L.shape[0]):
        if X.shape[2] == 1:
            x = X[i].reshape(X.shape[1])
            _forward(L[i], order[i], kind[i], start[i], rows[i], vals[i], x)
            _diagonal(L[i], order[i], kind[i], X[i])
            _backward(L[i], order[i], kind[i], start[i], rows[i], vals[i], x)
        else:
            _forward_rows(L[i], order[i], kind[i], start[i], rows[i], vals[i], X[i])
            _diagonal(L[i], order[i], kind[i], X[i])
            _backward_rows(L[i], order[i], kind[i], start[i], rows[i], vals[i], X[i])
