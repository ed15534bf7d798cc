"""Whether `verify` tells exact plans from wrong ones."""

import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest
import torch
from torch import Tensor

import banded
from oracles import chain, cosines, rosenbrock

METHODS = ["direct", "symmetric", "fourier", "random", "auto"]


def loop(x: Tensor) -> Tensor:
    return (x - x.roll(2)).cos().sum() + (x**4).sum()


def bordered(x: Tensor) -> Tensor:
    return rosenbrock(x[1:]) + (x[0] * x[1:].sin()).sum() + x[0] ** 2


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dense", [False, True])
def test_exact_plans(method: str, dtype: torch.dtype, dense: bool) -> None:
    for f in (chain, rosenbrock, loop, bordered, cosines(40, 6, dtype)[0]):
        x, y = torch.randn(2, 40, dtype=dtype)
        plan = banded.plan(f, x, method=method)
        for point in (None, x, y):
            report = banded.verify(plan, point, dense=dense)
            assert report, str(report)
            assert report.ok
            assert report.repeatable
            assert report.leak == 0
            assert report.error < 1e4 * torch.finfo(dtype).eps
            assert report.products == (40 if dense else 4)
            assert str(report).startswith("exact: H off by ")
            assert ("all entries" if dense else "4 random products") in str(report)
            assert (report.gap is None) is (plan.method in ("direct", "fourier"))


@pytest.mark.parametrize("dense", [False, True])
def test_trees_and_batches(dense: bool) -> None:
    def f(x: dict[str, Tensor]) -> Tensor:
        return rosenbrock(x["a"]) + (x["a"] * x["d"]).sin().sum()

    x = {"a": torch.randn(3, 12).double(), "d": torch.randn(3).double()}
    report = banded.verify(banded.plan(f, x, batch_dims=1), x, dense=dense)
    assert report
    assert report.products == (13 if dense else 4)


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [1e-8, 1e-3, 1.0])
@pytest.mark.parametrize("batch", [False, True])
def test_a_pattern_that_has_changed(dense: bool, method: str, size: float, batch: bool) -> None:
    def f(x: Tensor) -> Tensor:
        return rosenbrock(x) + size * (x[7:] - 100).relu().square().sum() * x[0]

    x = torch.randn(3, 30, dtype=torch.float64) if batch else torch.randn(30, dtype=torch.float64)
    plan = banded.plan(f, x, method=method, batch_dims=int(batch))
    assert banded.verify(plan, dense=dense)
    there = x.clone()
    there[..., -1] += 200
    report = banded.verify(plan, there, dense=dense)
    assert not report
    assert report.leak > 10 * size
    assert str(report).startswith("WRONG: ")
    assert "LEAK" in str(report)
    with pytest.raises(banded.BandwidthError):
        plan(there, check=True)


@pytest.mark.parametrize("dense", [False, True])
def test_a_function_that_changes_between_calls(dense: bool) -> None:
    stirred = False

    def f(x: Tensor) -> Tensor:
        return rosenbrock(x) * (1 + float(torch.rand(()))) if stirred else rosenbrock(x)

    plan = banded.plan(f, torch.randn(20, dtype=torch.float64))
    stirred = True
    report = banded.verify(plan, dense=dense)
    assert not report
    assert not report.repeatable
    assert "f CHANGES from one evaluation to the next" in str(report)


def spoilt(products: float = 1, gradient: float = 1, value: float = 1, entry: float = 0) -> Callable[..., Any]:
    from banded.hessian.products import batched

    def engine(f: Any, rows: int) -> Any:
        run = batched(f, rows)

        def spoil(x: Tensor, probes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            one, two, three = run(x, probes)
            three = products * three
            three[..., 0, 6] += entry
            return value * one, gradient * two, three

        return spoil

    return engine


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize(
    "amiss", [{"products": 1 + 1e-6}, {"entry": 1e-4}, {"gradient": 1 + 1e-6}, {"value": 1 + 1e-6}]
)
def test_an_engine_that_is_wrong(amiss: dict[str, float], dense: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report takes its products from the plainest engine, not from the one it checks."""
    x = torch.randn(20, dtype=torch.float64)
    plan = banded.plan(rosenbrock, x)
    assert plan.engine == "batched"
    monkeypatch.setattr(sys.modules["banded.hessian.engine"], "batched", spoilt(**amiss))
    wrong = banded.plan(rosenbrock, x, check=False)
    for point in (None, x + 1):
        assert banded.verify(plan, point, dense=dense)
        report = banded.verify(wrong, point, dense=dense)
        assert not report
        assert str(report).startswith("WRONG: ")


def test_entries_that_the_plan_leaves_out() -> None:
    """A plan that was told too narrow a band, and not to look."""
    f, x, _ = cosines(30, 3)
    for method in METHODS:
        for dense in (False, True):
            assert not banded.verify(banded.plan(f, x, bandwidth=2, method=method, check=False), dense=dense)
    assert banded.verify(banded.plan(f, x, bandwidth=3, check=False))
    assert banded.verify(banded.plan(f, x, bandwidth=9, check=False))


def test_rounding_errors_of_f_are_noise() -> None:
    y = 0.1 * torch.randn(300)

    def variation(x: Tensor) -> Tensor:
        """Second derivatives by cancellation of large terms."""
        return (x - y).square().sum() + ((x[1:] - x[:-1]).square() + 1e-10).sqrt().sum()

    plan = banded.plan(variation, y)
    for dense in (False, True):
        report = banded.verify(plan, dense=dense)
        assert report, str(report)
    assert report.noise > 0
    assert "f itself rounds away" in str(report)


def test_seeds_and_numbers_of_products() -> None:
    plan = banded.plan(rosenbrock, torch.randn(20, dtype=torch.float64))
    assert banded.verify(plan, seed=1) == banded.verify(plan, seed=1)
    assert banded.verify(plan, products=1).products == 1
    assert banded.verify(plan, products=7).products == 7
    with pytest.raises(ValueError, match="products: expected at least one, got 0"):
        banded.verify(plan, products=0)
    with pytest.raises(ValueError, match="x: expected"):
        banded.verify(plan, torch.zeros(3))
    with pytest.raises(FrozenInstanceError):
        banded.verify(plan).error = 0.0  # type: ignore[misc]
    large = banded.plan(lambda x: (x**4).sum(), torch.randn(10_001).double(), bandwidth=0)
    with pytest.raises(ValueError, match="dense: expected at most 10000 unknowns, got 10001"):
        banded.verify(large, dense=True)


def test_reports_are_true_only_where_everything_is_right() -> None:
    report = banded.verify(banded.plan(rosenbrock, torch.randn(20, dtype=torch.float64)))
    assert report
    nan = float("nan")
    for amiss in ({"leak": 1e-3}, {"repeatable": False}, {"value_error": 1e-3}, {"gradient_error": 1e-3}):
        assert not replace(report, **amiss)
    for name in ("leak", "value_error", "gradient_error"):
        assert not replace(report, **{name: nan})  # type: ignore[arg-type]


def test_points_where_f_is_not_finite_are_not_exact() -> None:
    def f(x: Tensor) -> Tensor:
        return (x.log() * x).sum() + (x[1:] * x[:-1]).sum()

    plan = banded.plan(f, torch.ones(8, dtype=torch.float64))
    x = torch.ones(8, dtype=torch.float64)
    x[3] = -1
    for dense in (False, True):
        assert not banded.verify(plan, x, dense=dense)
