"""Compiled loops of `scatter`."""

from typing import Any, TypeAlias

from numpy.typing import NDArray

from banded.factor.jit import exact

Array: TypeAlias = NDArray[Any]


@exact
def add_weights(mu: Array, points: Array, coefficients: Array, first: int, part: Array) -> None:
    """Mu[:, points[k], first + i] += coefficients[k] part[:, k, i]."""
    for a in range(part.shape[0]):
        for k in range(part.shape[1]):
            for i in range(part.shape[2]):
                mu[a, points[k], first + i] += coefficients[k] * part[a, k, i]


@exact
def add_outputs(rows: Array, points: Array, coefficients: Array, first: int, outputs: Array) -> None:
    """rows[:, k, i] += coefficients[k] outputs[:, points[k], first + i]."""
    for a in range(rows.shape[0]):
        for k in range(rows.shape[1]):
            for i in range(rows.shape[2]):
                rows[a, k, i] += coefficients[k] * outputs[a, points[k], first + i]


@exact
def add_entries(
    values: Array, points: Array, coefficients: Array, first: int, positions: Array, products: Array
) -> None:
    """values[:, k, i, positions[q]] += coefficients[k] products[:, points[k], q, first + i]."""
    for a in range(values.shape[0]):
        for k in range(values.shape[1]):
            for q in range(len(positions)):
                for i in range(values.shape[2]):
                    values[a, k, i, positions[q]] += coefficients[k] * products[a, points[k], q, first + i]


@exact
def add_gradient(gradient: Array, places: Array, part: Array) -> None:
    """gradient[:, places[e, q]] += part[:, e, q]."""
    for a in range(gradient.shape[0]):
        for e in range(places.shape[0]):
            for q in range(places.shape[1]):
                gradient[a, places[e, q]] += part[a, e, q]


@exact
def add_cells(storage: Array, cells: Array, first: Array, second: Array, products: Array) -> None:
    """storage[:, cells[e, l]] += products[:, e, first[l], second[l]]."""
    for a in range(storage.shape[0]):
        for e in range(cells.shape[0]):
            for pair in range(cells.shape[1]):
                storage[a, cells[e, pair]] += products[a, e, first[pair], second[pair]]
