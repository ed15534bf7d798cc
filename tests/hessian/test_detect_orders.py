"""Loops, borders and orders are found, and named right, wherever they are."""

import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import banded
from banded import BandwidthError, Bordered, Periodic, Reordered
from oracles import chain, rosenbrock

METHODS = ["direct", "symmetric", "fourier", "random", "auto"]
Function = Any  # of a tensor to a scalar


def loop(x: Tensor) -> Tensor:
    """Half-bandwidth 2, closed to a ring."""
    return (x - 0.5 * x.roll(1) + (0.3 * x.roll(2)).sin()).square().sum() + x.square().sum()


def block(x: Tensor) -> Tensor:
    """Nodes of three unknowns, each coupled to the next one."""
    nodes = x.reshape(-1, 3)
    return ((nodes[1:].sum(1) - nodes[:-1].sin().sum(1)).square()).sum() + (x**4).sum()


def bordered(f: Function, where: list[int]) -> Function:
    """f of all unknowns but those at `where`, which couple to everything."""

    def whole(x: Tensor) -> Tensor:
        inside = torch.tensor([i for i in range(len(x)) if i not in where])
        shared = x[where]
        rest = x[inside]
        own: Tensor = f(rest)
        return own + (shared[:, None] * rest.cos()).sum() + shared.prod().sin() + shared.square().sum()

    return whole


def shuffled(f: Function, order: Tensor) -> Function:
    return lambda x: f(x[order])


def assert_exact(plan: banded.Plan, f: Function, seed: int = 0) -> None:
    """At another point than where the plan was made."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randn(plan.n, generator=generator, dtype=torch.float64).to(plan.x)
    dense: Any = torch.autograd.functional.hessian(f, y)  # type: ignore[no-untyped-call]
    tolerance = 1e-10 if y.dtype == torch.float64 else 1e-4
    torch.testing.assert_close(plan(y)[2].to_dense(), dense, rtol=tolerance, atol=tolerance * float(dense.abs().max()))


@pytest.mark.parametrize("n", [12, 13, 17, 31, 64, 97, 127, 256, 399, 400])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_loops(n: int, dtype: torch.dtype) -> None:
    plan = banded.plan(loop, torch.randn(n, dtype=dtype))
    assert (plan.periodic, plan.bandwidth, plan.border, plan.order) == (True, 2, 0, None)
    assert isinstance(plan(plan.x)[2], Periodic)
    assert_exact(plan, loop)
    given = banded.plan(loop, plan.x, bandwidth=2, periodic=True)
    assert_exact(given, loop)


@pytest.mark.parametrize("method", METHODS)
def test_loops_by_every_method(method: str) -> None:
    for n in (12, 29, 60):
        plan = banded.plan(loop, torch.randn(n, dtype=torch.float64), method=method)
        assert plan.periodic
        assert_exact(plan, loop)


def test_a_stiff_end_does_not_hide_the_seam_of_a_loop() -> None:
    def f(x: Tensor) -> Tensor:
        return loop(x) + 1e12 * x[-1] ** 2

    x = torch.randn(40, dtype=torch.float64)
    H = banded.hessian(f, x)
    torch.testing.assert_close(H[0, 39], torch.func.hessian(f)(x)[0, 39])


@pytest.mark.parametrize("f", [chain, loop, block], ids=lambda f: f.__name__)
@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("where", ["front", "middle", "end"])
def test_borders(f: Function, count: int, where: str) -> None:
    n = 90 + count
    first = {"front": 0, "middle": 41, "end": n - count}[where]
    numbers = list(range(first, first + count))
    whole = bordered(f, numbers)
    x = torch.randn(n, dtype=torch.float64)
    found = banded.plan(whole, x)
    named = banded.plan(whole, x, border=numbers)
    for plan in (found, named):
        assert plan.border == count
        assert plan.periodic is (f is loop)
        assert_exact(plan, whole)
        order = torch.arange(n) if plan.order is None else plan.order
        assert sorted(order[n - count :].tolist()) == numbers
    H = named(x)[2]
    assert isinstance(H, Bordered if where == "end" else Reordered)


@pytest.mark.parametrize("method", METHODS)
def test_borders_by_every_method(method: str) -> None:
    whole = bordered(block, [7, 40])
    for options in ({}, {"border": [7, 40]}, {"border": [-22, 7, 7]}):
        plan = banded.plan(whole, torch.randn(62, dtype=torch.float64), method=method, **options)  # type: ignore[arg-type]
        assert plan.border == 2
        assert_exact(plan, whole)


@pytest.mark.parametrize("f", [rosenbrock, loop, block], ids=lambda f: f.__name__)
@pytest.mark.parametrize("numbers", [[], [5], [0, 33, 59]])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shuffled_orders(f: Function, numbers: list[int], dtype: torch.dtype) -> None:
    n = 60 + len(numbers)
    order = torch.from_numpy(np.random.default_rng(0).permutation(n))
    whole = shuffled(bordered(f, numbers) if numbers else f, order)
    plan = banded.plan(whole, torch.randn(n, dtype=dtype))
    assert_exact(plan, whole)
    few_digits = 10 if dtype == torch.float32 and numbers else 0  # neighbours of a border may drown in it
    assert len(numbers) <= plan.border <= len(numbers) + few_digits
    assert plan.bandwidth <= {"rosenbrock": 1, "loop": 6, "block": 8}[f.__name__]
    if numbers:
        assert plan.order is not None
        assert {int(order[i]) for i in numbers} <= set(plan.order[-plan.border :].tolist())


@pytest.mark.parametrize("seed", range(12))
def test_random_sparse_patterns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 70))
    i, j = torch.from_numpy(rng.integers(n, size=(2, int(rng.integers(1, 2 * n)))))
    weights = torch.from_numpy(rng.standard_normal(len(i)))

    def f(x: Tensor) -> Tensor:
        return (weights * (x[i] * x[j]).sin()).sum() + x[0] ** 2

    x = torch.from_numpy(rng.standard_normal(n))
    for method in METHODS:
        assert_exact(banded.plan(f, x, method=method), f, seed)


def test_a_grid() -> None:
    """Row-major: half-bandwidth 16."""

    def f(x: Tensor) -> Tensor:
        grid = x.reshape(16, 16)
        return (
            grid.diff(dim=0).square().sum() + grid.diff(dim=1).cos().sum() + (grid[:, ::2] * grid[:, 1::2]).sin().sum()
        )

    x = torch.randn(16, 16, dtype=torch.float64)
    plan = banded.plan(f, x)
    assert plan.bandwidth <= 17
    assert plan.products <= 12
    assert_exact(banded.plan(f, x.reshape(-1)), f)


def test_what_no_order_makes_a_band_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the limits for many unknowns, lowered to be quick."""
    for name, limit in (("DENSE", 250), ("WIDEST", 64)):
        monkeypatch.setattr(sys.modules["banded.hessian.detect"], name, limit)
    i, j = torch.from_numpy(np.random.default_rng(0).integers(300, size=(2, 1500)))
    with pytest.raises(BandwidthError, match=r"farther than 64 .* no order of the unknowns .* border=") as caught:
        banded.hessian(lambda x: (x[i] * x[j]).sum() + x.square().sum(), torch.ones(300))
    assert caught.value.needed is None


def test_a_loop_that_was_given_as_a_band_is_named() -> None:
    x = torch.randn(50, dtype=torch.float64)
    with pytest.raises(BandwidthError, match=r"pass bandwidth=2, periodic=True") as caught:
        banded.hessian(loop, x, bandwidth=2)
    assert caught.value.needed == 2
    with pytest.raises(BandwidthError, match=r"pass bandwidth=1 with the unknowns \[17\] in the border"):
        banded.hessian(bordered(rosenbrock, [17]), x, bandwidth=1)
    with pytest.raises(BandwidthError, match=r"pass bandwidth=2, periodic=True"):
        banded.hessian(loop, x, bandwidth=1, periodic=True)


def test_a_border_that_is_named_but_needs_none() -> None:
    x = torch.randn(30, dtype=torch.float64)
    plan = banded.plan(rosenbrock, x, border=[0, 29])
    assert (plan.border, plan.bandwidth) == (2, 1)
    assert_exact(plan, rosenbrock)
