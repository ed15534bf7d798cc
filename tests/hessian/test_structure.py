"""What a structure says of the matrices that it allows."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import patterns
from banded import Bordered, Periodic, Reordered, SymmetricBanded
from banded.hessian.structure import WIDEST_NODE, Structure, fold, folded, node_width, repeated

CPU = torch.device("cpu")


@settings(deadline=None)
@given(patterns.structures(largest=20))
def test_entries_are_the_cells_that_the_pattern_allows(structure: Structure) -> None:
    entries = structure.entries(CPU).numpy()
    m, k = structure.core, structure.bandwidth
    assert entries.shape == (k + 1, m)
    seen = np.zeros((m, m), dtype=bool)
    for d, j in np.argwhere(entries):
        seen[(j + d) % m, j] = seen[j, (j + d) % m] = True
    np.testing.assert_array_equal(seen, patterns.allowed(structure)[:m, :m])


@settings(deadline=None)
@given(patterns.structures(largest=20), st.integers(0, 2**31), st.sampled_from([(), (2,), (2, 3)]))
def test_parts_are_assembled_to_the_matrix_in_the_users_order(
    structure: Structure, seed: int, batch: tuple[int, ...]
) -> None:
    A = patterns.matrices(structure, seed, batch=batch)
    order = structure.numbers(CPU).numpy()
    along = A[..., order[:, None], order]
    m = structure.core
    band = np.zeros((*batch, structure.bandwidth + 1, m))
    for d, j in np.argwhere(structure.entries(CPU).numpy()):
        band[..., d, j] = along[..., (j + d) % m, j]
    border, corner = (torch.from_numpy(part.copy()) for part in (along[..., m:, :m], along[..., m:, m:]))
    H = structure.assemble(torch.from_numpy(band), *((border, corner) if structure.border else (None, None)))
    np.testing.assert_array_equal(H.to_dense(), A)


def test_simple_structures_make_simple_matrices() -> None:
    band, border, corner = torch.ones(2, 5), torch.ones(1, 5), torch.ones(1, 1)
    order = np.array([1, 0, 2, 3, 4])
    assert type(patterns.structure(5, 1).assemble(band, None, None)) is SymmetricBanded
    assert type(patterns.structure(5, 1, periodic=True).assemble(band, None, None)) is Periodic
    assert type(patterns.structure(6, 1, border=1).assemble(band, border, corner)) is Bordered
    assert type(patterns.structure(5, 1, order=order).assemble(band, None, None)) is Reordered


def test_places_invert_the_order() -> None:
    order = np.random.default_rng(0).permutation(9)
    structure = patterns.structure(9, 2, border=3, order=order)
    assert structure.core == 6
    assert structure.place is not None
    assert [int(structure.place[unknown]) for unknown in order] == list(range(9))
    assert structure.numbers(CPU).tolist() == order.tolist()
    plain = patterns.structure(9, 2)
    assert plain.place is None
    assert plain.numbers(CPU).tolist() == list(range(9))


@pytest.mark.parametrize(
    ("structure", "words"),
    [
        (patterns.structure(9, 2), "half-bandwidth 2"),
        (patterns.structure(9, 2, periodic=True), "half-bandwidth 2, periodic"),
        (
            patterns.structure(9, 0, periodic=True, border=2, order=np.arange(9)[::-1]),
            "half-bandwidth 0, periodic, border of 2, reordered",
        ),
    ],
)
def test_structures_describe_themselves(structure: Structure, words: str) -> None:
    assert str(structure) == words


@given(st.integers(1, 30), st.integers(0, 6), st.integers(1, 8), st.integers(0, 2**31))
def test_folding_looks_at_every_node(m: int, k: int, width: int, seed: int) -> None:
    mask = np.random.default_rng(seed).random((k + 1, m)) < 0.2
    folded = fold(mask, width)
    assert folded.shape == (k + 1, width)
    for d in range(k + 1):
        for r in range(width):
            assert folded[d, r] == any(mask[d, j] for j in range(r, m, width))


@pytest.mark.parametrize("width", [2, 3, 5, 7, WIDEST_NODE])
@pytest.mark.parametrize("left_over", [0, 1])
def test_the_width_of_a_node_is_found(width: int, left_over: int) -> None:
    rng = np.random.default_rng(width)
    node = rng.random((2 * width, width)) < 0.3
    node[0], node[-1], node[-1, 0] = True, False, True  # tells the nodes apart
    mask = np.tile(node, 9)[:, : 8 * width + left_over]
    assert node_width(mask, 1) == (width, True)
    assert node_width(mask, width) == (width, True)
    kept = repeated(mask, 1)
    inside = np.add.outer(np.arange(2 * width), np.arange(mask.shape[1])) < mask.shape[1]
    assert kept is not None
    np.testing.assert_array_equal(kept & inside, mask & inside)


def test_a_uniform_band_has_nodes_of_one() -> None:
    mask = np.repeat(np.array([[True], [False], [True]]), 40, 1)
    assert node_width(mask, 1) == (1, True)


def test_a_width_that_is_given_is_kept() -> None:
    assert node_width(np.ones((3, 40), dtype=bool), 5)[0] == 5


def test_an_entry_missing_in_one_node_is_expected_there() -> None:
    """It vanished at the points that were seen."""
    node = np.array([[1, 1, 1], [1, 0, 0], [0, 0, 1], [1, 0, 0]], dtype=bool)
    mask = np.tile(node, 20)
    hole = mask.copy()
    hole[3, 30] = False
    kept = repeated(hole, 1)
    assert kept is not None
    np.testing.assert_array_equal(kept, mask)


def test_a_pattern_that_does_not_repeat_is_kept_as_it_is() -> None:
    mask = np.random.default_rng(0).random((8, 300)) < 0.2
    mask[0] = True
    kept = repeated(mask, 1)
    assert not node_width(mask, 1)[1]
    assert kept is not None
    np.testing.assert_array_equal(kept, mask)


def test_a_full_band_needs_no_mask() -> None:
    mask = np.add.outer(np.arange(4), np.arange(20)) < 20
    assert repeated(mask, 1) is None
    assert repeated(np.ones((4, 20), dtype=bool), 1) is None
    assert repeated(np.ones((1, 1), dtype=bool), 1) is None


@settings(deadline=None)
@given(st.integers(1, 60), st.data())
def test_nothing_is_ever_left_out(m: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, m - 1))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**31)))
    mask = data.draw(st.sampled_from([patterns.irregular, patterns.repeating]))(rng, k, m)
    kept = repeated(mask, data.draw(st.integers(1, 6)))
    assert kept is None or bool((kept | ~mask).all())


@pytest.mark.parametrize("m", [5, 6, 11, 12])
@pytest.mark.parametrize("border", [0, 2])
def test_a_loop_laid_flat_is_a_band_twice_as_wide(m: int, border: int) -> None:
    for k in range((m - 1) // 2 + 1):
        flat = folded(Structure(m + border, k, periodic=True, border=border))
        place = flat.numbers(torch.device("cpu")).argsort()
        assert sorted(place.tolist()) == list(range(m + border))
        assert place[m:].tolist() == list(range(m, m + border))
        apart = max(abs(int(place[i] - place[(i + d) % m])) for i in range(m) for d in range(k + 1))
        assert apart <= flat.bandwidth <= max(2 * k, 0)
        assert not flat.periodic
