"""Batches of problems that take data, each its own."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor

import banded
from oracles import chain
from single_solves import assert_like_single_solves, starts


def data(B: int, n: int) -> tuple[dict[str, Any], int]:
    generator = torch.Generator().manual_seed(1)
    return {
        "y": torch.randn(B, n, dtype=torch.float64, generator=generator),
        "which": torch.randint(0, n, (B, 3), generator=generator),
        "pair": (torch.rand(B, dtype=torch.float64, generator=generator) + 0.5, 2.0),
        "on": torch.arange(B) % 2 == 0,
    }, 3


def with_data(x: Tensor, d: dict[str, Any], power: int) -> Tensor:
    weight, factor = d["pair"]
    picked = (x[d["which"]] - factor).square().sum()
    value: Tensor = (x - d["y"]).square().sum() + weight * chain(x) + picked
    return value + torch.where(d["on"], (x ** (power + 1)).sum(), 0.0)


@pytest.mark.parametrize("B", [1, 3, 34])
def test_data_of_each_problem_are_trees_of_floats_integers_and_numbers(B: int) -> None:
    x, args = starts(B, 6), data(B, 6)
    results = banded.minimize(with_data, x, args=args, batch_dims=1)
    assert bool(results.success.all())
    assert_like_single_solves(results, with_data, x, args)


@pytest.mark.parametrize(
    ("x", "shape"),
    [((4, 5), (3,)), ((4, 5), ()), ((1, 5), ()), ((4, 5), (5, 4)), ((2, 3, 5), (2,)), ((2, 3, 5), (3, 2))],
)
def test_data_of_the_wrong_shape(x: tuple[int, ...], shape: tuple[int, ...]) -> None:
    """The shape that came is the one that is named; nothing is taken for another problem's."""
    with pytest.raises(ValueError, match=re.escape(f"got shape {shape}")):
        banded.minimize(
            lambda x, d: (x - d["w"].sum()).square().sum(),
            torch.zeros(x, dtype=torch.float64),
            args=({"w": torch.ones(shape, dtype=torch.float64)},),
            batch_dims=len(x) - 1,
        )


def test_the_error_on_data_says_what_to_do() -> None:
    with pytest.raises(
        ValueError,
        match=r"args\[1\]: expected batch dimensions \(4,\) in front, like x, got shape \(3, 2\); .*\.expand",
    ):
        banded.minimize(
            lambda x, a, b: (x - a - b.sum()).square().sum(),
            torch.zeros(4, 5, dtype=torch.float64),
            args=(torch.zeros(4, dtype=torch.float64), torch.zeros(3, 2, dtype=torch.float64)),
            batch_dims=1,
        )


def test_args_that_are_no_sequence() -> None:
    bad: Any
    for bad in (3, torch.zeros(3)):
        with pytest.raises(TypeError, match="args"):
            banded.minimize(chain, torch.zeros(3, dtype=torch.float64), args=bad)


def test_a_plan_has_its_data_and_takes_no_others() -> None:
    """Its data are those it was made with: others must be refused, or used, not be passed over in silence."""

    def f(x: Tensor, y: Tensor) -> Tensor:
        return (x - y).square().sum()

    zero, seven = torch.zeros(4, dtype=torch.float64), torch.full((4,), 7.0, dtype=torch.float64)
    plan = banded.plan(f, zero, args=(zero,))
    try:
        result = banded.minimize(plan, zero + 1, args=(seven,))
    except (TypeError, ValueError):
        return
    torch.testing.assert_close(result.x, seven)
