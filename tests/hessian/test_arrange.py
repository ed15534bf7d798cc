"""Orders that are found, against those that the patterns were made with."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import patterns
from banded.hessian.arrange import NARROW, Arrangement, arrange, best_columns

NONE = np.zeros(0, dtype=np.int64)


def pattern(m: int, k: int, *, periodic: bool = False, border: int = 0) -> np.ndarray:
    """A full band or loop of half-bandwidth k, with a full border at the end."""
    return patterns.allowed(patterns.structure(m + border, k, periodic=periodic, border=border))


def shuffled(A: np.ndarray, seed: int) -> np.ndarray:
    order = np.random.default_rng(seed).permutation(len(A))
    return A[order[:, None], order]


def arranged(A: np.ndarray, dense: np.ndarray = NONE) -> Arrangement:
    """An arrangement that is checked to hold all entries, but for those of rows called dense."""
    known = A.copy()
    known[dense] = known[:, dense] = False
    row, column = np.nonzero(known)
    found = arrange(row, column, len(A), dense)
    assert sorted(found.order.tolist()) == list(range(len(A)))
    core = len(A) - found.border
    assert set(dense.tolist()) <= set(found.order[core:].tolist())
    inside = A[found.order[:, None], found.order][:core, :core]
    i, j = np.nonzero(inside)
    apart = np.abs(i - j)
    apart = np.minimum(apart, core - apart) if found.periodic else apart
    assert int(apart.max(initial=0)) == found.bandwidth
    assert not found.periodic or 2 * found.bandwidth < core
    return found


def is_natural(found: Arrangement) -> bool:
    core = len(found.order) - found.border
    return bool((np.diff(found.order[:core]) > 0).all())


@pytest.mark.parametrize("k", [0, 1, 8, 30])
def test_a_band_stays_as_it_is(k: int) -> None:
    found = arranged(pattern(100, k))
    assert (found.bandwidth, found.periodic, found.border, found.effort) == (k, False, 0, k)
    assert found.order.tolist() == list(range(100))


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 4), st.integers(60, 300), st.integers(0, 2**31))
def test_shuffled_chains_are_put_in_order(k: int, m: int, seed: int) -> None:
    found = arranged(shuffled(pattern(m, k), seed))
    assert (found.bandwidth, found.periodic, found.border) == (k, False, 0)


@pytest.mark.parametrize("k", [1, 3, 10])
def test_loops_are_seen(k: int) -> None:
    found = arranged(pattern(90, k, periodic=True))
    assert (found.bandwidth, found.periodic, found.border) == (k, True, 0)
    assert is_natural(found)


@pytest.mark.parametrize("k", [1, 3])
def test_shuffled_loops_become_bands(k: int) -> None:
    """Of half-bandwidth 2k at best."""
    found = arranged(shuffled(pattern(90, k, periodic=True), 0))
    assert not found.periodic
    assert 2 * k <= found.bandwidth <= 3 * k


@pytest.mark.parametrize("p", [1, 2, 5])
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("periodic", [False, True])
def test_borders_are_seen(k: int, p: int, periodic: bool) -> None:
    """Wherever they lie among the others."""
    m = 120
    A = pattern(m, k, periodic=periodic, border=p)
    places = np.random.default_rng(p).permutation(m + p)[:p]
    mixed = np.empty(m + p, dtype=np.int64)
    mixed[places] = np.arange(m, m + p)
    mixed[np.setdiff1d(np.arange(m + p), places)] = np.arange(m)
    found = arranged(A[mixed[:, None], mixed])
    assert (found.bandwidth, found.periodic, found.border, found.effort) == (k, periodic, p, k + p)
    assert set(found.order[m:].tolist()) == set(places.tolist())
    assert is_natural(found)


@pytest.mark.parametrize("p", [1, 2, 5])
@pytest.mark.parametrize("known", [False, True])
def test_shuffled_chains_with_borders(p: int, known: bool) -> None:
    """Whether the entries of the border are known, or only that there are many."""
    A = shuffled(pattern(150, 2, border=p), p)
    full = np.nonzero(A.all(1))[0]
    found = arranged(A, NONE if known else full)
    assert (found.bandwidth, found.periodic, found.border) == (2, False, p)
    assert set(found.order[150:].tolist()) == set(full.tolist())


def test_what_is_narrow_is_left_alone() -> None:
    """A band of up to NARROW in the user's order is not worth another order."""
    A = np.eye(200, dtype=bool)
    for j in range(0, 200 - NARROW, NARROW + 1):  # pairs, which another order would bring next to each other
        A[j + NARROW, j] = A[j, j + NARROW] = True
    found = arranged(A)
    assert is_natural(found)
    assert found.bandwidth == NARROW
    assert arranged(shuffled(A, 0)).bandwidth == 1


def test_the_given_order_is_kept_unless_another_is_twice_as_narrow() -> None:
    wide = np.eye(200, dtype=bool)
    for j in range(0, 180, 20):
        wide[j + 11 : j + 14, j] = wide[j, j + 11 : j + 14] = True
    assert not is_natural(arranged(wide))
    A = pattern(200, 12)
    A[20, 0] = A[0, 20] = True
    assert is_natural(arranged(A))


@pytest.mark.parametrize("m", [1, 2, 3, 7])
def test_few_unknowns(m: int) -> None:
    assert arranged(np.ones((m, m), dtype=bool)).bandwidth == m - 1
    nothing = arranged(np.zeros((m, m), dtype=bool))
    assert (nothing.bandwidth, nothing.periodic, nothing.border) == (0, False, 0)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 40), st.floats(0, 0.3), st.integers(0, 2**31))
def test_any_pattern_is_held_and_none_is_widened(m: int, density: float, seed: int) -> None:
    A = np.random.default_rng(seed).random((m, m)) < density
    A |= A.T
    i, j = np.nonzero(A)
    found = arranged(A)
    assert found.effort <= max(NARROW, 2 * int(np.abs(i - j).max(initial=0)))


def chain_mask(width: int, nodes: int, seed: int, density: float) -> np.ndarray:
    """`(2 width, width nodes)`: nodes with the same random entries inside and to the next node."""
    rng = np.random.default_rng(seed)
    inside = rng.random((width, width)) < density
    following = rng.random((width, width)) < density
    n = width * nodes
    A = np.eye(n, dtype=bool)
    for t in range(nodes):
        here, there = slice(t * width, (t + 1) * width), slice((t + 1) * width, (t + 2) * width)
        A[here, here] |= inside | inside.T
        if t + 1 < nodes:
            A[there, here] |= following
            A[here, there] |= following.T
    return patterns.lower(A, min(2 * width, n) - 1)


def width_of_the_band(mask: np.ndarray, width: int, columns: list[int]) -> int:
    """Half-bandwidth after each node's unknowns were put in the order `columns`."""
    place = {unknown: place for place, unknown in enumerate(columns)}
    widest = 0
    for d, j in np.argwhere(mask):
        i = j + d
        widest = max(widest, abs((i // width * width + place[i % width]) - (j // width * width + place[j % width])))
    return int(widest)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 5), st.integers(1, 4), st.floats(0, 1), st.integers(0, 2**31))
def test_the_order_within_a_node_is_the_best_of_all(width: int, nodes: int, density: float, seed: int) -> None:
    mask = chain_mask(width, nodes, seed, density)
    columns = list(best_columns(mask, width))
    assert sorted(columns) == list(range(width))
    least = min(width_of_the_band(mask, width, list(order)) for order in permutations(range(width)))
    assert width_of_the_band(mask, width, columns) == least
    if width_of_the_band(mask, width, list(range(width))) == least:
        assert columns == list(range(width))


@pytest.mark.parametrize("width", [8, 9])
def test_wide_nodes_are_put_in_a_better_order(width: int) -> None:
    """A chain through each node whose unknowns come in a random order: in the right one, the half-bandwidth is 1."""
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(width)
        n = 4 * width
        A = np.eye(n, dtype=bool)
        chain = np.concatenate([order + t * width for t in range(4)])
        A[chain[1:], chain[:-1]] = A[chain[:-1], chain[1:]] = True
        mask = patterns.lower(A, 2 * width - 1)
        columns = list(best_columns(mask, width))
        natural = width_of_the_band(mask, width, list(range(width)))
        assert width_of_the_band(mask, width, columns) < natural
        assert width_of_the_band(mask, width, columns) <= 3


@pytest.mark.parametrize("width", [8, 9])
def test_wide_nodes_are_never_made_worse(width: int) -> None:
    for seed in range(10):
        mask = chain_mask(width, 3, seed, 0.15)
        columns = list(best_columns(mask, width))
        assert sorted(columns) == list(range(width))
        assert width_of_the_band(mask, width, columns) <= width_of_the_band(mask, width, list(range(width)))
