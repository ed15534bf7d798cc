"""Swing-ups from starts where full steps are good and the filter stops them, step after step."""

import pytest
import torch

from banded import RungeKutta
from banded.problems import swingup

HELD = RungeKutta(controls="constant")
# Ipopt 3.14's cost and iterations on the same transcription, by CasADi 3.8.2
IPOPT = {17: (53.69045411396450, 28), 19: (51.72907179327331, 58), 96: (56.72698458503254, 58)}


def starts() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return 0.1 * torch.randn(1000, 4, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("number", IPOPT)
def test_as_few_steps_as_ipopt(number: int) -> None:
    cost, iterations = IPOPT[number]
    found = swingup().solve(51, HELD, initial_state=starts()[number], progress=False)
    assert found.success
    assert found.cost == pytest.approx(cost, rel=1e-8)
    assert found.iterations <= 1.5 * iterations


def test_a_batch_of_them_is_solved_likewise() -> None:
    found = swingup().solve(51, HELD, initial_state=starts()[list(IPOPT)], progress=False)
    assert found.success.tolist() == [True] * 3
    assert found.cost.tolist() == pytest.approx([cost for cost, _ in IPOPT.values()], rel=1e-8)
    assert all(steps <= 1.5 * most for steps, (_, most) in zip(found.iterations.tolist(), IPOPT.values(), strict=True))
