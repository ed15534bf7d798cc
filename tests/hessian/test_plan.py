import copy
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import banded
import oracles
from banded import BandwidthError, RecoveryError
from banded.hessian.products import Engine, Function, loop
from oracles import chain, rosenbrock

CASES = [(1, 0), (7, 0), (7, 1), (12, 3), (3, 5), (60, 9)]  # (n, k); one has k >= n
METHODS = ["direct", "symmetric", "fourier", "random", "auto"]


def shared(x: dict[str, Tensor]) -> Tensor:
    return rosenbrock(x["a"]) + (x["a"] * x["b"]).sin().sum()


def test_the_origin_to_the_digit() -> None:
    x = torch.zeros(12, dtype=torch.float64)
    plan = banded.plan(chain, x, bandwidth=1)
    assert plan.products == 3
    H = plan(x)[2]
    expected = np.array([[2.0] * 12, [-1.0] * 11 + [0.0]])
    np.testing.assert_array_equal(H.band, expected)
    np.testing.assert_array_equal(banded.hessian(chain, x).band, expected)
    load = torch.zeros(12, dtype=torch.float64)
    load[4] = 1
    solution = (
        "0.61538462 1.23076923 1.84615385 2.46153846 3.07692308 2.69230769 "
        "2.30769231 1.92307692 1.53846154 1.15384615 0.76923077 0.38461538"
    )
    assert " ".join(f"{entry:.8f}" for entry in H.solve(load).tolist()) == solution


@pytest.mark.parametrize(("n", "k"), CASES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 2e-4), (torch.float64, 1e-12)])
def test_hessian_matches_closed_form(n: int, k: int, method: str, dtype: torch.dtype, atol: float) -> None:
    f, x, expected = oracles.cosines(n, k, dtype)
    H = banded.hessian(f, x, bandwidth=min(k, n - 1), method=method)
    assert H.dtype == dtype
    np.testing.assert_allclose(H.to_dense(), expected, rtol=0, atol=atol)


def test_unknowns_of_any_shape_are_numbered_row_by_row() -> None:
    def f(x: Tensor) -> Tensor:
        return (x[1:, 0] * x[:-1, 1]).square().sum() + x.square().sum()

    x = torch.randn(6, 2, dtype=torch.float64)
    value, gradient, H = banded.plan(f, x)(x)
    dense: Any = torch.func.hessian(f)(x)
    torch.testing.assert_close(H.to_dense(), dense.reshape(12, 12))
    torch.testing.assert_close(gradient, torch.func.grad(f)(x))
    torch.testing.assert_close(value, f(x))
    assert H.bandwidth == 1


@pytest.mark.parametrize("method", METHODS)
def test_plan_is_made_once_and_evaluated_anywhere(method: str) -> None:
    x = torch.zeros(50, dtype=torch.float64)
    plan = banded.plan(rosenbrock, x, method=method)
    assert plan.products == {"symmetric": 2, "random": 7}.get(method, 3)
    for _ in range(3):
        x = torch.randn(50, dtype=torch.float64)
        dense: Any = torch.func.hessian(rosenbrock)(x)
        torch.testing.assert_close(plan(x)[2].to_dense(), dense, rtol=1e-9, atol=1e-9)
    assert f"50 unknowns, half-bandwidth 1: {plan.products} products ({plan.method}" in str(plan)
    assert plan.method == ("direct" if method == "auto" else method)
    assert (plan.engine, plan.n, plan.bandwidth, plan.border) == ("batched", 50, 1, 0)


def test_same_input_same_output() -> None:
    x = torch.randn(40, dtype=torch.float64)
    first, second = (banded.hessian(rosenbrock, x, method="symmetric").band for _ in range(2))
    assert torch.equal(first, second)


def test_a_linear_function_of_parameters_with_gradients() -> None:
    w = torch.ones(4, requires_grad=True)
    assert not banded.hessian(lambda x: (w * x).sum(), torch.zeros(4), bandwidth=1).band.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("orders", [0, 4, 12])
def test_a_diagonal_over_many_orders_of_magnitude_costs_few_digits(dtype: torch.dtype, orders: int) -> None:
    """Relative to sqrt(H_ii H_jj), against dense derivatives in float64."""
    scale = torch.logspace(0, -orders / 2, 200, dtype=torch.float64)[torch.randperm(200)]
    x = torch.randn(200, dtype=torch.float64)

    def f(x: Tensor) -> Tensor:
        y = scale.to(x) * x
        return (
            (y[2:] - 0.3 * y[:-2] + 0.2 * y[1:-1]).square().sum() + (y[1:] * y[:-1]).cos().sum() + 3 * y.square().sum()
        )

    dense: Any = torch.func.hessian(f)(x)
    size = dense.diagonal().abs().sqrt()
    for method in ("direct", "symmetric"):  # the others mix rows of all sizes
        plan = banded.plan(f, x.to(dtype), method=method)
        assert plan.bandwidth == 2
        for _ in range(2):  # the scale of the plan, and again
            error = (plan(x.to(dtype))[2].to_dense().double() - dense) / size / size[:, None]
            assert float(error.abs().max()) < 1e3 * torch.finfo(dtype).eps


def test_products_that_are_wrong_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check takes its product from the plainest engine, not from the one it checks."""

    def twice(f: Function, rows: int) -> Engine:
        def engine(x: Tensor, probes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            value, gradient, products = loop(f)(x, probes)
            return value, gradient, 2 * products

        return engine

    monkeypatch.setattr(sys.modules["banded.hessian.engine"], "batched", twice)
    with pytest.raises(RecoveryError, match="batched engine: expected every entry"):
        banded.hessian(rosenbrock, torch.zeros(8, dtype=torch.float64), bandwidth=1)


def test_a_plan_is_held_to_what_it_was_made_for() -> None:
    plan = banded.plan(rosenbrock, torch.zeros(5, dtype=torch.float64))
    x = torch.zeros(6, dtype=torch.float64)
    for point in (x, torch.zeros(5), x[:5, None], x[0], x[:5].to("meta"), None, 3.0, x[:5].tolist()):
        for call in (plan, plan.value, plan.compressed, plan.flatten):
            with pytest.raises(ValueError, match=r"x: expected .*; make another plan for it"):
                call(point)


@pytest.mark.parametrize("method", METHODS)
def test_products_can_be_had_by_themselves(method: str) -> None:
    f, x, expected = oracles.cosines(30, 4)
    plan = banded.plan(f, x, method=method)
    products = plan.compressed(x)
    assert products.shape == (plan.products, 30)
    np.testing.assert_allclose(products, plan.probes.numpy() @ expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(plan.recover(products).to_dense(), expected, atol=1e-11)
    batch = torch.stack([products, 2 * products, 0 * products])
    np.testing.assert_allclose(plan.recover(batch).to_dense()[1], 2 * expected, atol=1e-11)
    for wrong in (products[1:], products[:, 1:], products.mT):
        with pytest.raises(ValueError, match=rf"products: expected shape \(..., {plan.products}, 30\), as compressed"):
            plan.recover(wrong)


@pytest.mark.parametrize("method", METHODS)
def test_a_pattern_that_has_changed_is_found_where_it_is_looked_for(method: str) -> None:
    def f(x: Tensor) -> Tensor:
        return rosenbrock(x) + (x[5:] - 100).relu().square().sum() * x[0]

    x = torch.randn(20, dtype=torch.float64)
    plan = banded.plan(f, x, method=method)
    torch.testing.assert_close(plan(x + 1, check=True)[2].to_dense(), plan(x + 1)[2].to_dense())
    there = x.clone()
    there[-1] += 200
    plan(there)
    with pytest.raises(BandwidthError, match=r"where the plan has them \(half-bandwidth 1\), found a leak") as caught:
        plan(there, check=True)
    assert caught.value.leak > 1
    again = banded.plan(f, there, method=method)(there, check=True)[2]
    dense: Any = torch.func.hessian(f)(there)
    torch.testing.assert_close(again.to_dense(), dense)


def test_little_memory_takes_more_passes_to_the_same_numbers() -> None:
    f, x, _ = oracles.cosines(700, 12)
    whole = banded.plan(f, x, bandwidth=12)
    parts = banded.plan(f, x, bandwidth=12, memory=2**17)
    assert whole.reason == "vectorised double backward"
    assert "at a time to keep within 0 MiB" in parts.reason
    for mine, other in zip(parts(x), whole(x), strict=True):
        one, two = (t if isinstance(t, Tensor) else t.band for t in (mine, other))
        torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-12)


def test_check_can_be_left_out() -> None:
    calls = 0

    def f(x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return rosenbrock(x)

    x = torch.randn(9, dtype=torch.float64)
    checked = banded.plan(f, x, bandwidth=1)
    with_check, calls = calls, 0
    plan = banded.plan(f, x, bandwidth=1, check=False)
    assert calls < with_check
    assert torch.equal(plan(x)[2].band, checked(x)[2].band)


def test_plans_are_pickled_and_work_on(tmp_path: Path) -> None:
    x = torch.randn(40, dtype=torch.float64)
    bordered = banded.plan(shared, {"a": x, "b": x[0]}, method="symmetric")
    points: list[tuple[banded.Plan, Any]] = [(banded.plan(rosenbrock, x, method=method), x + 1) for method in METHODS]
    points += [(bordered, {"a": x + 1, "b": x[1]})]
    points += [(banded.plan(rosenbrock, torch.stack([x, 2 * x]), batch_dims=1), torch.stack([x, x]))]
    points += [(banded.plan(rosenbrock, x.float(), memory=1), x.float())]
    for plan, point in points:
        (tmp_path / "plan").write_bytes(pickle.dumps(plan))
        again = pickle.loads((tmp_path / "plan").read_bytes())
        assert str(again) == str(plan)
        assert torch.equal(again(point)[2].band, plan(point)[2].band)
        assert torch.equal(again.value(point), plan.value(point))
        assert banded.verify(again, point)
        assert str(copy.deepcopy(plan)) == str(plan)
        plan(point)  # the one that was pickled has kept its engine
    text = (
        "import pathlib, pickle, sys; plan = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes()); "
        "print(plan(plan.x)[2].band.double().sum().item())"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(oracles.__file__).parent)}
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", text, tmp_path / "plan"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert ran.stderr == ""
    assert float(ran.stdout) == pytest.approx(float(plan(plan.x)[2].band.double().sum()))


def test_functions_that_cannot_be_pickled_are_pythons_error() -> None:
    plan = banded.plan(lambda x: rosenbrock(x), torch.zeros(5))
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(plan)
    assert plan(torch.zeros(5))[2].bandwidth == 1


def test_what_is_printed_is_one_short_line() -> None:
    for options in ({}, {"method": "symmetric"}, {"border": [3]}):
        for x in (torch.randn(3000).double(), torch.randn(4, 30).double()):
            batch = x.ndim - 1
            plan = banded.plan(rosenbrock, x, batch_dims=batch, **options)
            for text in (str(plan), repr(plan), str(plan(x)[2]), repr(plan(x)[2])):
                assert len(text) < 250
                assert "\n" not in text
            assert repr(plan) == f"<{plan}>"


def test_no_warnings_in_eager_use() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        banded.hessian(rosenbrock, torch.ones(5))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("method", METHODS)
def test_on_a_gpu(method: str) -> None:
    def bordered(x: Tensor) -> Tensor:
        return rosenbrock(x[1:]) + (x[0] * x[1:].sin()).sum() + (x[1] - x[-1]) ** 2

    x = torch.linspace(-1, 1, 100, dtype=torch.float64, device="cuda")
    for f in (rosenbrock, bordered):
        plan = banded.plan(f, x, method=method)
        H = plan(x, check=True)[2]
        assert H.device.type == "cuda"
        dense: Any = torch.func.hessian(f)(x)
        torch.testing.assert_close(H.to_dense(), dense, rtol=1e-10, atol=1e-10)
        assert banded.verify(plan, dense=True)
        again = banded.plan(f, torch.stack([x, x + 1]), method=method, batch_dims=1)
        torch.testing.assert_close(again(again.x)[2].to_dense()[0], dense, rtol=1e-10, atol=1e-10)
    tree = {"a": x, "b": x[:1, None].expand(100, 2)}
    plan = banded.plan(lambda t: (t["a"][1:] * t["b"][:-1, 0]).sin().sum() + (t["b"] ** 4).sum(), tree, method=method)
    assert banded.verify(plan, dense=True)
    result = banded.minimize(rosenbrock, x)
    assert result.success
    assert result.x.device.type == "cuda"
