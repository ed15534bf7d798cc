"""Constraints that miss each other by less than verdicts can tell: no step helps, and the best point is handed out."""

import math

import pytest
import torch
from torch import Tensor

import banded
from banded import Result, Status

LINKS = 20


def turned(z: Tensor) -> Tensor:
    return z[:, 1].square().sum()


def reach(z: Tensor) -> Tensor:
    """Each link reaches 1 at most, where it is turned as far as it may."""
    return z[1:, 0] - z[:-1, 0] - torch.sin(z[:-1, 1]) / math.sin(1)


def asked(beyond: float) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """For an end that is so far out of reach."""
    start = torch.zeros(LINKS + 1, 2, dtype=torch.float64)
    start[:, 0] = torch.linspace(0, LINKS, LINKS + 1)
    lower, upper = torch.full_like(start, -torch.inf), torch.full_like(start, torch.inf)
    lower[:, 1], upper[:, 1] = -1, 1
    lower[0, 0] = upper[0, 0] = 0
    lower[-1, 0] = upper[-1, 0] = LINKS + beyond
    return start, (lower, upper)


def assert_best(result: Result) -> None:
    best = min((max(record.violation or 0.0, 1e-6), record.value) for record in result.history)
    assert result.violation is not None
    assert (max(result.violation, 1e-6), result.value) == pytest.approx(best, rel=1e-9)
    assert float(reach(result.x).abs().max()) == pytest.approx(result.violation, rel=1e-6)
    assert float(turned(result.x)) == pytest.approx(result.value)


@pytest.mark.parametrize("beyond", [1e-5, 1e-6])
def test_the_best_point_is_handed_out(beyond: float) -> None:
    start, bounds = asked(beyond)
    result = banded.minimize(turned, start, equality=reach, bounds=bounds)
    assert result.status is Status.LINE_SEARCH
    assert "constraints" in result.status.value
    assert "start elsewhere" in result.status.value
    assert_best(result)


def test_of_a_batch_too() -> None:
    start, (lower, upper) = asked(1e-5)
    results = banded.minimize(
        turned,
        torch.stack([start, start]),
        equality=reach,
        bounds=(torch.stack([lower, lower - 1]), torch.stack([upper, upper + 1])),
        batch_dims=1,
    )
    assert [result.status for result in results] == [Status.LINE_SEARCH, Status.CONVERGED]
    assert_best(results[0])


def test_by_more_it_is_a_verdict() -> None:
    start, bounds = asked(1e-3)
    assert banded.minimize(turned, start, equality=reach, bounds=bounds).status is Status.INFEASIBLE
