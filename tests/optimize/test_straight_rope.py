"""A rope that starts as a straight line: its equations depend on each other there, and see nothing across it."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import banded

PIECES, LENGTH = 40, 2.0
PIECE = LENGTH / PIECES


def height(x: Tensor) -> Tensor:
    return (x[1:, 1] + x[:-1, 1]).sum() * PIECE / 2


def lengths(x: Tensor) -> Tensor:
    return x.diff(dim=0).square().sum(1) - PIECE**2


def hung(floor: float) -> Any:
    """From (0, 1) to (1.2, 1), above a floor."""
    ends = torch.tensor([[0.0, 1.0], [1.2, 1.0]], dtype=torch.float64)
    start = torch.lerp(ends[:1], ends[1:], torch.linspace(0, 1, PIECES + 1, dtype=torch.float64)[:, None])
    lower = torch.full_like(start, -torch.inf)
    lower[:, 1] = floor
    upper = torch.full_like(start, torch.inf)
    for side in (lower, upper):
        side[0], side[-1] = ends
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
