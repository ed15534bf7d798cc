"""Durations that fall to their lower bounds, and other starts."""

from __future__ import annotations

from dataclasses import replace
from math import inf, sqrt
from typing import Any

import pytest
import torch
from torch import Tensor

from banded import Phases, Solutions, Status
from banded.problems import CONTROL_PROBLEMS

# from which the duration falls to 0, by Hermite and Simpson's scheme from the usual guess of 1; Ipopt's does, too
FALLING = [[-0.0026853448600653064, -0.02501354469027061], [-0.0026, -0.025], [-0.0027, -0.0251]]


def least_time(position: float, speed: float) -> float:
    """From there to rest at 1 with a thrust of -1 to 1 (Bryson & Ho 1975, §3.9)."""
    left = 1 - position
    sign = 1 if left - speed * abs(speed) / 2 > 0 else -1
    return -sign * speed + 2 * sqrt(speed**2 / 2 + sign * left)


def problem(**changed: Any) -> Any:
    return replace(CONTROL_PROBLEMS["least_time"](), **changed)


@pytest.mark.parametrize("state", FALLING)
def test_a_duration_that_falls_is_given_another_start(state: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    found = problem().solve(41, "hermite-simpson", initial_state=state, progress=True)
    assert found.success
    assert found.cost == pytest.approx(least_time(*state), rel=2e-3)
    counted = [one.iteration for one in found.history]
    assert counted == sorted(counted)
    assert counted[-1] == found.iterations
    assert "a duration fell to its lower bound; again from 4 times the guess" in capsys.readouterr().out


def test_in_a_batch_those_that_fall_are_and_callbacks_see_all() -> None:
    generator = torch.Generator().manual_seed(0)
    others = 0.2 * torch.randn(5, 2, generator=generator, dtype=torch.float64)
    states = torch.cat([others, torch.tensor(FALLING, dtype=torch.float64)])
    seen: list[tuple[int, int]] = []

    def callback(x: Tensor, records: Any) -> None:
        seen.append((len(x), len(records)))

    many = problem().solve(41, "hermite-simpson", initial_state=states, progress=False, callback=callback)
    assert isinstance(many, Solutions)
    assert set(seen) == {(8, 8)}
    assert many.success.all()
    for one, state in zip(many, states.tolist(), strict=True):
        assert one.cost == pytest.approx(least_time(*state), rel=5e-3)
        alone = problem().solve(41, "hermite-simpson", initial_state=state, progress=False)
        assert one.cost == pytest.approx(alone.cost, rel=1e-7)


def test_what_cannot_be_stays_infeasible() -> None:
    narrow = problem(state_bounds=([-inf, 0.5], None), final_state=[0, 1], initial_state=[1, 1])  # only forward
    found = narrow.solve(21, progress=False)
    assert found.status is Status.INFEASIBLE


def test_limits_of_time_are_of_all_starts_together() -> None:
    found = problem().solve(41, "hermite-simpson", initial_state=FALLING[0], progress=False, max_seconds=0.0)
    assert found.status is Status.MAX_SECONDS


def test_phases(capsys: pytest.CaptureFixture[str]) -> None:
    coast = problem(final_cost=None, initial_state=None, final_state=None, control_bounds=None, duration=0.5)
    phases = Phases([problem(initial_state=FALLING[0]), coast])
    found = phases.solve(41, ["hermite-simpson", "trapezoidal"], progress=True)
    assert found.success
    assert "a duration fell" in capsys.readouterr().out
    assert found.cost == pytest.approx(least_time(*FALLING[0]), rel=2e-3)
