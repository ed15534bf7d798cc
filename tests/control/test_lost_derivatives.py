"""Functions that autograd does not see through."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from moves import block
from torch import Tensor, stack

from banded.control.derivatives import lost
from banded.problems import CONTROL_PROBLEMS


class Doubled(torch.autograd.Function):
    """A sine whose derivative is not that."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.sin()

    @staticmethod
    def backward(ctx: Any, weight: Tensor) -> Tensor:
        return 2 * weight


def doubled(x: Tensor) -> Tensor:
    found: Tensor = Doubled.apply(x)  # type: ignore[no-untyped-call]
    return found


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            {"dynamics": lambda x, u: stack([x[1], u[0].detach()])},
            r"dynamics: expected the derivative of speed by force to be about 1, as differences say, got 0 from "
            r"autograd; keep to torch operations: \.detach\(\), .* lose derivatives",
        ),
        ({"dynamics": lambda x, u: stack([x[1] + x[0], u[0] - math.sin(x[0])])}, "of speed by position to be about -"),
        ({"dynamics": lambda x, u: stack([x[1], u[0] - x.new_tensor(x[1].item())])}, "of speed by speed .* about -1,"),
        ({"dynamics": lambda x, u: torch.from_numpy(np.array([float(x[1]), float(u[0])]))}, "of position by speed"),
        ({"dynamics": lambda x, u: stack([x[1], u[0] - doubled(x[0])])}, r"by position .* about -0\.999,.* got -2"),
        (
            {"dynamics": lambda x, u: stack([x[1], u[0] + np.sin(x[0].numpy())])},
            r"dynamics: expected a function that autograd can follow, got RuntimeError: Can.t call numpy\(\) .*; keep",
        ),
        ({"running_cost": lambda x, u: u[0].detach() ** 2}, "running_cost: expected the derivative by force"),
        ({"running_cost": lambda x, u: u[0] * float(u[0])}, "running_cost: expected the derivative by force"),
        ({"final_cost": lambda x: x[0].item() ** 2}, "final_cost: expected the derivative by position"),
        ({"path_constraint": lambda x, u: stack([x[1], x[0].detach()])}, "path_constraint: .* of number 1 by position"),
        (
            {"boundary_constraint": lambda first, last: first[0] - last[1].detach()},
            "boundary_constraint: expected the derivative by the last speed to be about -1",
        ),
        (
            {"dynamics": lambda x, u, p: stack([x[1], u[0] + float(p[0])]), "parameters": ("mass",)},
            "of speed by mass to be about 1, as differences say, got 0",
        ),
        ({"dynamics": lambda x, u, t: stack([x[1], u[0] + float(t)]), "duration": (1, 3)}, "of speed by t to be about"),
    ],
)
def test_what_loses_derivatives_is_named(given: dict[str, Any], text: str) -> None:
    with pytest.raises(TypeError, match=text):
        block(**given)


@pytest.mark.parametrize(
    "rate",
    [
        lambda x, u, t: u[0] + math.sin(float(t)),  # a time that is given needs no derivatives
        lambda x, u, t: u[0] + x[0].abs() + x[0].relu() + x[1].clamp(0, 0.1),  # kinks
        lambda x, u, t: u[0] + x[0].round() + x[1].sign() + torch.where(x[0] > 0.3, 1.0, 2.0),  # jumps
        lambda x, u, t: u[0] + x[0].sqrt() + (x[1] - 5).log(),  # nan
        lambda x, u, t: u[0].float().sin().double(),  # rough
        lambda x, u, t: 1e6 * (100 * x[0]).sin() * (100 * u[0]).cos(),  # wild
        lambda x, u, t: torch.linalg.solve(x.diag(), x)[0] + u[0],  # singular where it is tried first
        lambda x, u, t: u[0] + torch.func.grad(lambda y: y.cos())(x[0]),
    ],
)
def test_what_may_look_like_it_does_not(rate: Any) -> None:
    block(dynamics=lambda x, u, t: stack([x[1], rate(x, u, t)]), initial_state=[0.01, 0.01])


def test_it_holds_where_gradients_are_off() -> None:
    for off in (torch.no_grad(), torch.inference_mode()):
        with off:
            block()
            with pytest.raises(TypeError, match="of speed by force"):
                block(dynamics=lambda x, u: stack([x[1], u[0].detach()]))


def test_a_function_that_is_well_is_called_four_times() -> None:
    calls = []

    def f(z: Tensor) -> Tensor:
        calls.append(z)
        return stack([z[0] * z[1], z[1].sin()])

    z = torch.tensor([0.3, 0.4], dtype=torch.float64)
    assert lost(f, z, torch.ones_like(z)) is None
    assert len(calls) == 4
    found = lost(lambda z: f(z) * z[0].detach(), z, torch.ones_like(z))
    assert found is not None
    assert (found.output, found.argument) == (0, 0)
    assert (found.known, found.found) == pytest.approx((0.3 * 0.4, 2 * 0.3 * 0.4), rel=1e-6)
    assert lost(lambda z: f(z) * z[0].detach(), z, torch.tensor([0.0, 1.0])) is None  # nobody asks for that one


def test_the_problems_that_come_with_it_are_well() -> None:
    for make in CONTROL_PROBLEMS.values():
        make()
