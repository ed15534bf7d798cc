"""Colourings against the definitions, and their numbers of colours against what theory says."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings

import oracles
import patterns
from banded.hessian.coloring import Coloring, for_direct, for_symmetric, ring
from banded.hessian.structure import Structure, repeated
from banded.problems import PROBLEMS

CPU = torch.device("cpu")
FULL = [(1, 0), (2, 1), (7, 0), (7, 1), (7, 3), (7, 6), (40, 4), (41, 13)]


def check(coloring: Coloring, structure: Structure) -> None:
    """Each unknown of the core has a colour, and each colour an unknown."""
    assert coloring.colors.shape == (structure.core,)
    assert set(coloring.colors.tolist()) == set(range(coloring.count))


@settings(deadline=None, max_examples=60)
@given(patterns.structures(largest=16))
def test_direct_colorings_are_star_colorings(structure: Structure) -> None:
    coloring, m = for_direct(structure, CPU), structure.core
    check(coloring, structure)
    assert oracles.is_star_coloring(patterns.allowed(structure)[:m, :m], coloring.colors.tolist())


@settings(deadline=None, max_examples=100)
@given(patterns.structures(largest=30, loops=False))
def test_symmetric_colorings_tell_both_sides_apart(structure: Structure) -> None:
    coloring, m = for_symmetric(structure, CPU), structure.core
    check(coloring, structure)
    assert oracles.is_two_sided_coloring(patterns.allowed(structure)[:m, :m], coloring.colors.tolist())


@settings(deadline=None, max_examples=60)
@given(patterns.structures(largest=40))
def test_zeros_never_cost_colors(structure: Structure) -> None:
    full = Structure(structure.n, structure.bandwidth, structure.periodic, structure.border)
    assert for_direct(structure, CPU).count <= for_direct(full, CPU).count
    if not structure.periodic:
        assert for_symmetric(structure, CPU).count <= for_symmetric(full, CPU).count


@pytest.mark.parametrize(("n", "k"), FULL)
def test_numbers_of_colors_of_a_full_band(n: int, k: int) -> None:
    """k + 1 unknowns in a row all meet, so no colouring of theirs has fewer colours."""
    for border in (0, 3):
        structure = patterns.structure(n + border, k, border=border)
        assert for_direct(structure, CPU).count == min(2 * k + 1, n)
        assert for_symmetric(structure, CPU).count == min(k + 1, n)


@pytest.mark.parametrize("width_known", [True, False])
@pytest.mark.parametrize("left_over", [0, 1])
@pytest.mark.parametrize("b", range(1, 8))
def test_numbers_of_colors_of_blocks(b: int, left_over: int, width_known: bool) -> None:
    """Two blocks in a row all meet: 2b is optimal; and three blocks apart nothing does."""
    m = 30 * b + left_over
    mask = patterns.blocks(b, m)
    structure = patterns.structure(m, 2 * b - 1, mask=repeated(mask, 1), width=b if width_known else 1)
    assert for_direct(structure, CPU).count <= 3 * b
    assert for_symmetric(structure, CPU).count == 2 * b


@pytest.mark.parametrize("nodes", [12, 50])
def test_numbers_of_colors_of_the_cartpole(nodes: int) -> None:
    problem = PROBLEMS["cartpole"](nodes)
    equality: Callable[[torch.Tensor], torch.Tensor] | None = problem.equality
    assert equality is not None

    def penalty(z: torch.Tensor) -> torch.Tensor:
        nodes = z.reshape(problem.start.shape)
        return problem.objective(nodes) + equality(nodes).square().sum()

    z = torch.randn(problem.start.numel(), dtype=torch.float64)
    H = torch.func.hessian(penalty)(z).numpy()
    mask = patterns.lower(H, oracles.bandwidth(H))
    structure = patterns.structure(len(H), len(mask) - 1, mask=repeated(mask, 1))
    assert structure.bandwidth == 6
    for_both = for_direct(structure, CPU), for_symmetric(structure, CPU)
    assert for_both[0].count <= 8
    assert for_both[1].count <= 5
    for coloring, is_valid in zip(for_both, (oracles.is_star_coloring, oracles.is_two_sided_coloring), strict=True):
        assert is_valid(H, coloring.colors.tolist())


@pytest.mark.parametrize("k", range(6))
def test_equal_colors_on_a_loop_are_far_apart(k: int) -> None:
    spacing = 2 * k + 1
    for m in range(spacing, 8 * spacing + 3):
        coloring = ring(m, spacing, CPU)
        colors = coloring.colors.tolist()
        assert all(colors[i] != colors[(i + d) % m] for i in range(m) for d in range(1, spacing))
        assert coloring.count == max(colors) + 1
        assert coloring.count >= spacing
        if m % spacing == 0:
            assert coloring.count == spacing
        if m >= spacing**2:  # blocks of spacing and spacing + 1 make up any length
            assert coloring.count <= spacing + 1


@pytest.mark.parametrize(("m", "k"), [(3, 1), (15, 2), (40, 0), (63, 3), (99, 5)])
def test_numbers_of_colors_of_a_loop(m: int, k: int) -> None:
    assert m % (2 * k + 1) == 0
    assert for_direct(patterns.structure(m, k, periodic=True), CPU).count == 2 * k + 1


def test_zeros_save_colors_on_a_loop_of_whole_nodes() -> None:
    b, nodes = 3, 12
    m = b * nodes
    mask = patterns.blocks(b, m)
    structure = patterns.structure(m, 2 * b - 1, periodic=True, mask=mask, width=b)
    assert for_direct(structure, CPU).count <= 3 * b < 2 * structure.bandwidth + 1


def test_colors_are_the_same_every_time() -> None:
    rng = np.random.default_rng(0)
    structure = patterns.structure(200, 9, mask=patterns.irregular(rng, 9, 200))
    for color in (for_direct, for_symmetric):
        assert torch.equal(color(structure, CPU).colors, color(structure, CPU).colors)


@pytest.mark.parametrize("kind", [patterns.repeating, patterns.irregular])
def test_long_chains_are_coloured_like_a_period_of_them(kind: patterns.Mask) -> None:
    """Irregular ones by the offsets that they use."""
    n, k = 20_000, 5
    mask = kind(np.random.default_rng(1), k, n)
    assert mask is not None
    structure = patterns.structure(n, k, mask=mask)
    for color, most in ((for_direct, 2 * k + 1), (for_symmetric, k + 1)):
        coloring = color(structure, CPU)
        check(coloring, structure)
        assert coloring.count <= most
