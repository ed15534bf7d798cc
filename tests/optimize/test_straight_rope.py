"""A rope that starts as a straight line: its equations depend on each other there, and see nothing across it."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import banded
from banded.problems import PROBLEMS

PIECES, LENGTH = 40, 2.0
PIECE = LENGTH / PIECES


def height(x: Tensor) -> Tensor:
    return (x[1:, 1] + x[:-1, 1]).sum() * PIECE / 2


def lengths(x: Tensor) -> Tensor:
    return x.diff(dim=0).square().sum(1) - PIECE**2


def hung(floor: float, thrown: float = 0.0, seed: int = 0) -> Any:
    """From (0, 1) to (1.2, 1), above a floor, from a straight line whose nodes are thrown about."""
    ends = torch.tensor([[0.0, 1.0], [1.2, 1.0]], dtype=torch.float64)
    start = torch.lerp(ends[:1], ends[1:], torch.linspace(0, 1, PIECES + 1, dtype=torch.float64)[:, None])
    lower = torch.full_like(start, -torch.inf)
    lower[:, 1] = floor
    upper = torch.full_like(start, torch.inf)
    for side in (lower, upper):
        side[0], side[-1] = ends
    generator = torch.Generator().manual_seed(seed)
    start = start + thrown * torch.randn(start.shape, generator=generator, dtype=torch.float64)
    return banded.minimize(height, start, equality=lengths, bounds=(lower, upper))


@pytest.mark.parametrize("floor", [-5.0, 0.0, 0.2, 0.4, 0.5])
def test_it_hangs_as_low_as_it_may(floor: float) -> None:
    result = hung(floor)
    assert result.success
    assert result.violation < 1e-7
    assert float(result.x[:, 1].min()) >= floor - 1e-7
    if floor < 0.2:  # then nothing holds it: a chain of equal rods, whose forces have one horizontal part
        slope = result.x.diff(dim=0)
        tangents = slope[:, 1] / slope[:, 0]
        torch.testing.assert_close(tangents.diff(), tangents.diff().mean().expand(PIECES - 1), rtol=1e-4, atol=1e-6)
    best = {-5.0: 1.144099069, 0.0: 1.144099069, 0.2: 1.144099069, 0.4: 1.179881464, 0.5: 1.253807101}[floor]  # Ipopt's
    assert math.isclose(result.value, best, rel_tol=1e-6)


@pytest.mark.parametrize(("floor", "best"), [(-5.0, 1.144099069), (0.4, 1.179881464)])
@pytest.mark.parametrize("seed", [7, 12, 48])
def test_wherever_it_starts(floor: float, best: float, seed: int) -> None:
    """Far from feasible, multipliers grow, steps shrink, and restoration may have to be restored itself."""
    result = hung(floor, 0.05, seed)
    assert result.status is banded.Status.CONVERGED
    assert math.isclose(result.value, best, rel_tol=1e-6)


@pytest.mark.parametrize("seed", [5, 11, 17, 25])
def test_a_chain_whose_nodes_are_thrown_about(seed: int) -> None:
    """Ipopt finds this minimum from each of these starts."""
    problem = PROBLEMS["hanging"](nodes=50)
    away = torch.as_tensor(np.random.default_rng(seed).standard_normal(problem.start.shape))
    assert problem.bounds is not None
    lower, upper = problem.bounds
    start = (problem.start + 0.5 * problem.start.abs().amax(0).clamp(min=1) * away).clamp(lower, upper)
    result = banded.minimize(problem.objective, start, equality=problem.equality, bounds=problem.bounds)
    assert result.status is banded.Status.CONVERGED
    assert math.isclose(result.value, 5.072261494, rel_tol=1e-8)
