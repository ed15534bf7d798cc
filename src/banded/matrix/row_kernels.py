"""Compiled loops over matrices of few entries in each row, as `Rows` stores them, one of a batch after the other."""

from typing import Any, TypeAlias

from numpy.typing import NDArray

from banded.factor.jit import exact

Array: TypeAlias = NDArray[Any]


@exact
def times(columns: Array, values: Array, x: Array, out: Array) -> None:
    """Add `Σ_t values[b, i, t] x[b, columns[i, t]]` to `out[b, i]`."""
    m, w = columns.shape
    for b in range(values.shape[0]):
        for i in range(m):
            total = out[b, i]
            for t in range(w):
                total += values[b, i, t] * x[b, columns[i, t]]
            out[b, i] = total


@exact
def transposed_times(columns: Array, values: Array, u: Array, out: Array) -> None:
    """Add `values[b, i, t] u[b, i]` to `out[b, columns[i, t]]`."""
    m, w = columns.shape
    for b in range(values.shape[0]):
        for i in range(m):
            for t in range(w):
                out[b, columns[i, t]] += values[b, i, t] * u[b, i]


@exact
def congruence(
    places: Array, values: Array, weights: Array, band: Array, border: Array, corner: Array, periodic: bool
) -> None:
    """Add Aᵀ D A to a band `(B, k + 1, c)`, its border `(B, p, c)` and the corner `(B, p, p)`.

    Columns are places along the chain: those of the border come after the c of the core.
    """
    m, w = places.shape
    c = band.shape[2]
    for b in range(values.shape[0]):
        for i in range(m):
            for t in range(w):
                entry = weights[b, i] * values[b, i, t]
                if entry == 0:
                    continue
                row = places[i, t]
                for s in range(w):
                    column = places[i, s]
                    if row < c:
                        d = row - column
                        if column >= c:
                            continue
                        if periodic:
                            d %= c
                        if 0 <= d < band.shape[1]:
                            band[b, d, column] += entry * values[b, i, s]
                    elif column < c:
                        border[b, row - c, column] += entry * values[b, i, s]
                    else:
                        corner[b, row - c, column - c] += entry * values[b, i, s]
