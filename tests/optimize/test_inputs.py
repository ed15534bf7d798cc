"""What minimize and least_squares are given: starts of any make, and what is refused."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import banded
from oracles import rosenbrock


def test_limits_that_are_no_numbers() -> None:
    options: Any
    for options in (
        {"tolerance": "small"},
        {"tolerance": None},
        {"tolerance": True},
        {"max_iterations": 1.5},
        {"max_iterations": True},
        {"max_seconds": "1"},
        {"max_seconds": True},
    ):
        with pytest.raises(TypeError, match=f"^{next(iter(options))}: expected a .*number .*>= 0"):
            banded.minimize(rosenbrock, torch.zeros(3), **options)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"tolerance": -1.0}, "tolerance: expected a number >= 0"),
        ({"tolerance": float("nan")}, "tolerance"),
        ({"max_iterations": -1}, "max_iterations: expected a whole number >= 0"),
    ],
)
def test_bad_limits(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        banded.minimize(rosenbrock, torch.zeros(3), **options)


@pytest.mark.parametrize("numbers", [[0.0] * 100, (0, 1), [[0.0, 1.0], [2.0, 3.0]]])
def test_numbers_for_a_start_are_told_how_they_become_a_tensor(numbers: Any) -> None:
    with pytest.raises(TypeError, match=r"^x: expected a tensor.* got a (list|tuple) of numbers; torch\.tensor\(x"):
        banded.minimize(rosenbrock, numbers)


@pytest.mark.parametrize(("option", "named"), [({"loss": "huber"}, "loss"), ({"residuals": False}, "residuals=False")])
def test_least_squares_speaks_of_itself(option: dict[str, Any], named: str) -> None:
    options: Any = option
    with pytest.raises(TypeError, match=f"^least_squares: expected options among args, .*, got {named};"):
        banded.least_squares(lambda x: x - 1, torch.zeros(3, dtype=torch.float64), **options)
    with pytest.raises(TypeError, match=r"^r: expected a function"):
        banded.least_squares(3, torch.zeros(3, dtype=torch.float64))  # type: ignore[call-overload]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "start",
    [
        lambda dtype: torch.zeros(1, dtype=dtype),
        lambda dtype: torch.zeros(12, dtype=dtype)[::4],
        lambda dtype: torch.zeros(2, 3, dtype=dtype).T,
        lambda dtype: torch.zeros(1, dtype=dtype).expand(5),
        lambda dtype: torch.zeros(5, dtype=dtype, requires_grad=True),
        lambda dtype: 2 * torch.zeros(5, dtype=dtype, requires_grad=True),
        lambda dtype: torch.zeros((), dtype=dtype),
    ],
)
def test_starts_of_any_make(start: Callable[[torch.dtype], Tensor], dtype: torch.dtype) -> None:
    x = start(dtype)
    kept = x.detach().clone()
    result = banded.minimize(lambda x: (x - 3).cosh().sum() + x.reshape(-1).diff().square().sum(), x, tolerance=1e-5)
    assert result.success
    assert not result.x.requires_grad
    torch.testing.assert_close(result.x, torch.full_like(kept, 3.0), rtol=1e-4, atol=0)
    assert torch.equal(x.detach(), kept)
