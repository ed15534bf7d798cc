"""The example pendulum.py: its energy, its derivative against finite differences, end against the truth."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch


@pytest.fixture(scope="module")
def pendulum(example: Callable[[str], ModuleType]) -> ModuleType:
    return example("pendulum")


def test_the_truth_keeps_its_energy_but_for_damping(pendulum: ModuleType) -> None:
    """E' = -d θ'², with θ' and its square by differences of the angles."""
    ratio, damping = pendulum.TRUTH
    angle = pendulum.simulate().truth.numpy()
    speed = (angle[2:] - angle[:-2]) / (2 * pendulum.STEP)
    energy = speed**2 / 2 - ratio * np.cos(angle[1:-1])
    lost = np.concatenate([[0], np.cumsum((speed[1:] ** 2 + speed[:-1] ** 2) / 2)]) * damping * pendulum.STEP
    np.testing.assert_allclose(energy + lost, energy[0], atol=0.02 * abs(energy[0] - energy[-1]))


def test_the_derivative_is_that_of_finite_differences(pendulum: ModuleType) -> None:
    data = pendulum.simulate()
    parameters = torch.tensor([9.0, 0.6], dtype=torch.float64).log().requires_grad_()
    weights = torch.linspace(-1, 1, pendulum.NODES, dtype=torch.float64)
    (found,) = torch.autograd.grad(weights @ pendulum.motion(data, parameters, data.seen), parameters)
    for k in range(2):
        e = 1e-5 * torch.eye(2, dtype=torch.float64)[k]
        ends = [pendulum.motion(data, parameters.detach() + sign * e, data.seen) for sign in (1, -1)]
        assert float(found[k]) == pytest.approx(float(weights @ (ends[0] - ends[1])) / 2e-5, rel=1e-4)


def test_the_example_ends_at_the_truth(
    pendulum: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["pendulum.py", "--plot", str(tmp_path / "p.png")])
    assert pendulum.main() == 0
    assert "learnt" in capsys.readouterr().out
    assert (tmp_path / "p.png").stat().st_size > 10_000
