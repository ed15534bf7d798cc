"""The check of optima is itself checked, on a problem that is solved by hand and results that are not its optimum."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import banded
from banded import Multipliers, Result
from kkt import assert_optimal, conditions

START = torch.zeros(3, dtype=torch.float64)
LIMITS: dict[str, Any] = {
    "equality": lambda x: x[:1] + x[1:2] - 1,
    "inequality": lambda x: 2 - x[2:] ** 2 / 2,
    "bounds": (0.25, None),
}
# x = (1/4, 3/4, 2) for wanted (-1, 1, 3): 2 (x_1 - 1) + λ = 0, 2 (x_0 + 1) + λ = z, 2 (x_2 - 3) + ν x_2 = 0


def f(x: Tensor) -> Tensor:
    return (x - torch.tensor([-1.0, 1, 3], dtype=x.dtype)).square().sum()


def by_hand(**changes: Any) -> Result:
    """The optimum, or something else."""
    numbers: dict[str, Any] = {"x": [0.25, 0.75, 2], "equality": [0.5], "inequality": [1], "lower": [3, 0, 0]}
    numbers |= {"upper": [0, 0, 0], **changes}
    x, *rest = (torch.tensor(one, dtype=torch.float64) for one in numbers.values())
    result: Result = banded.minimize(f, START, max_iterations=0, **LIMITS)
    return replace(result, x=x, value=float(f(x)), multipliers=Multipliers(*rest))


def test_an_optimum_passes() -> None:
    assert_optimal(f, by_hand(), **LIMITS, tolerance=1e-14)


@pytest.mark.parametrize(
    ("changes", "condition"),
    [
        ({"equality": [0.51]}, "stationarity"),
        ({"equality": [-0.5]}, "stationarity"),
        ({"inequality": [1.01]}, "stationarity"),
        ({"lower": [2.99, 0, 0]}, "stationarity"),
        ({"upper": [0, 0, 0], "lower": [0, 0, 0]}, "stationarity"),
        ({"x": [0.25, 0.76, 2]}, "feasibility"),
        ({"x": [0.24, 0.76, 2]}, "feasibility"),
        ({"x": [0.25, 0.75, 2.01]}, "feasibility"),
        ({"lower": [3, 0.01, 0]}, "complementarity"),
        ({"x": [0.25, 0.75, 1.99]}, "complementarity"),
    ],
)
def test_what_is_off_is_seen(changes: dict[str, Any], condition: str) -> None:
    found = conditions(f, by_hand(**changes), **LIMITS)
    assert getattr(found, condition) > 1e-4
    with pytest.raises(AssertionError):
        assert_optimal(f, by_hand(**changes), **LIMITS)


def test_signs_are_seen() -> None:
    assert conditions(f, by_hand(lower=[3, -0.01, 0]), **LIMITS).sign == -0.01
    assert conditions(f, by_hand(inequality=[-1]), **LIMITS).sign == -1


def test_an_optimum_is_found_as_by_hand() -> None:
    result = banded.minimize(f, START, **LIMITS)
    torch.testing.assert_close(result.x, by_hand().x, atol=1e-6, rtol=0)
    assert result.multipliers is not None
    assert float(result.multipliers.equality) == pytest.approx(0.5, abs=1e-6)
    assert float(result.multipliers.inequality) == pytest.approx(1, abs=1e-6)
