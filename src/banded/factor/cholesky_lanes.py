"""Compiled kernels of the Cholesky factorisation of many bands side by side.

A group of matrices is `(n, k + 1, lanes)`, so that the innermost loop runs over matrices: all of it is SIMD, however
narrow the band, and no lane waits for its neighbour. Bands are `(B, k + 1, n)`, with any strides; cells with
j + d >= n are read, and not used.
"""

import numpy as np
from numpy.typing import NDArray

from banded.factor.jit import compiled, exact

Array = NDArray[np.floating]
allocating = compiled("contract")
LANES = 16  # matrices of a group; more do not fit the cache
NARROW = 21  # k + 1, above which the loop along a column is long enough to be SIMD by itself
SMALL = 2**16  # cells of a matrix, above which a group streams through memory
LINE = 8  # numbers of a cache line: written whole


@exact
def _gather(bands: Array, first: int, group: Array) -> None:
    """`group[j, d, i] = bands[first + i, d, j]`."""
    n, w, lanes = group.shape
    for start in range(0, lanes, LINE):
        for d in range(w):
            for j in range(n):
                for i in range(start, min(start + LINE, lanes)):
                    group[j, d, i] = bands[first + i, d, j]


@exact
def _factor(group: Array, info: Array) -> None:
    """Right-looking band Cholesky (LAPACK pbtf2) in place, each step for all lanes."""
    n, w, lanes = group.shape
    nan, inf = group.dtype.type(np.nan), group.dtype.type(np.inf)
    for j in range(n):
        m = min(w, n - j)
        root = group[j, 0]
        for i in range(lanes):
            if not 0 < root[i] < inf:
                root[i] = nan
                if info[i] == 0:
                    info[i] = j + 1
            root[i] = np.sqrt(root[i])
        for d in range(1, m):
            below = group[j, d]
            for i in range(lanes):
                below[i] = below[i] / root[i]
        for c in range(1, m):
            left = group[j, c]
            for e in range(m - c):
                into, below = group[j + c, e], group[j, c + e]
                for i in range(lanes):
                    into[i] -= left[i] * below[i]


@exact
def _solve(group: Array, x: Array) -> None:
    """L L^T x = b in place, x (n, lanes)."""
    n, w, lanes = group.shape
    for j in range(n):
        here, root = x[j], group[j, 0]
        for i in range(lanes):
            here[i] = here[i] / root[i]
        for d in range(1, min(w, n - j)):
            into, below = x[j + d], group[j, d]
            for i in range(lanes):
                into[i] -= below[i] * here[i]
    for j in range(n - 1, -1, -1):
        here, root = x[j], group[j, 0]
        for d in range(min(w, n - j) - 1, 0, -1):
            there, below = x[j + d], group[j, d]
            for i in range(lanes):
                here[i] -= below[i] * there[i]
        for i in range(lanes):
            here[i] = here[i] / root[i]


@allocating
def solve(bands: Array, b: Array, x: Array, info: Array) -> None:
    """A x = b for every matrix, b and x (B, n, m), without keeping the factors: a group stays in the cache."""
    count, w, n = bands.shape
    for first in range(0, count, LANES):
        lanes = min(LANES, count - first)
        group, y = np.empty((n, w, lanes), bands.dtype), np.empty((n, lanes), bands.dtype)
        _gather(bands, first, group)
        _factor(group, info[first : first + lanes])
        for side in range(b.shape[2]):
            for i in range(lanes):
                for j in range(n):
                    y[j, i] = b[first + i, j, side]
            _solve(group, y)
            for i in range(lanes):
                for j in range(n):
                    x[first + i, j, side] = y[j, i]


def fits(count: int, rows: int, n: int) -> bool:
    """Whether so many bands `(rows, n)` are solved faster side by side than one by one."""
    return count >= LINE and rows <= NARROW and rows * n <= SMALL
