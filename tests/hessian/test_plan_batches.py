"""Many problems at once: each as if it were alone."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import banded
from banded import BandwidthError, NonFiniteError, RecoveryError
from oracles import rosenbrock

METHODS = ["direct", "symmetric", "fourier", "random", "auto"]
Function = Callable[[Any], Tensor]


def one_by_one(f: Function, plan: banded.Plan, x: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Values, gradients and dense Hessians, by a Python loop over PyTorch's own."""
    vectors = plan.flatten(x)
    values, gradients, dense = [], [], []
    for vector in vectors.reshape(-1, plan.n):

        def of_vector(v: Tensor) -> Tensor:
            return f(plan.unflatten(v))

        leaf = vector.clone().requires_grad_()
        values.append(of_vector(leaf).detach())
        gradients.append(torch.autograd.grad(of_vector(leaf), leaf)[0])
        dense.append(torch.autograd.functional.hessian(of_vector, vector))  # type: ignore[no-untyped-call]
    batch = vectors.shape[:-1]
    return (
        torch.stack(values).reshape(batch),
        torch.stack(gradients).reshape(vectors.shape),
        torch.stack(dense).reshape(*vectors.shape, plan.n),
    )


def check(plan: banded.Plan, f: Function, x: Any, tolerance: float = 1e-10) -> None:
    values, gradients, dense = one_by_one(f, plan, x)
    value, gradient, H = plan(x, check=True)
    scale = float(dense.abs().max())
    assert H.shape == dense.shape
    torch.testing.assert_close(value, values)
    torch.testing.assert_close(plan.value(x), values)
    torch.testing.assert_close(plan.flatten(gradient), gradients)
    torch.testing.assert_close(H.to_dense(), dense, rtol=tolerance, atol=tolerance * scale)
    again = plan.recover(plan.compressed(x)).to_dense()
    torch.testing.assert_close(again, dense, rtol=1e-3, atol=1e-3 * scale)
    assert banded.verify(plan, x, dense=True)


def refusing(x: Tensor) -> Tensor:
    """vmap has no answer to .item()."""
    return rosenbrock(x) if x[0].item() < 1e9 else x.sum() ** 2


def loop(x: Tensor) -> Tensor:
    return (x - x.roll(1)).cos().sum() + (x**4).sum()


def bordered(x: Tensor) -> Tensor:
    return rosenbrock(x[1:]) + (x[0] * x[1:].sin()).sum() + x[0] ** 2


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("f", [rosenbrock, loop, bordered, refusing], ids=lambda f: f.__name__)
@pytest.mark.parametrize("batch", [(3,), (2, 3), (1, 1)])
def test_batches_of_vectors(f: Function, method: str, batch: tuple[int, ...]) -> None:
    x, y = torch.randn(2, *batch, 14, dtype=torch.float64)
    plan = banded.plan(f, x, method=method, batch_dims=len(batch))
    check(plan, f, y)
    assert ("one by one" in plan.reason) is (f is refusing)
    assert f"14 unknowns in each of {torch.Size(batch).numel()} problems" in str(plan)
    H = banded.hessian(f, x, method=method, batch_dims=len(batch))
    torch.testing.assert_close(H.to_dense(), plan(x)[2].to_dense())


def tracking(x: dict[str, Tensor]) -> Tensor:
    states, controls, duration = x["s"], x["u"], x["d"]
    defects = states[1:] - states[:-1].sin() - duration * controls
    return defects.square().sum() + (controls**4).sum() + duration**2


@pytest.mark.parametrize("refuses", [False, True])
@pytest.mark.parametrize("batch", [(4,), (2, 2)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_batches_of_trees_with_borders(batch: tuple[int, ...], refuses: bool, dtype: torch.dtype) -> None:
    def f(x: dict[str, Tensor]) -> Tensor:
        return tracking(x) if not refuses or x["d"].item() < 1e9 else x["d"]

    def point() -> dict[str, Tensor]:
        return {
            "u": torch.randn(*batch, 6, 1, dtype=dtype),
            "s": torch.randn(*batch, 7, 2, dtype=dtype),
            "d": torch.randn(batch, dtype=dtype),
        }

    plan = banded.plan(f, point(), batch_dims=len(batch))
    assert (plan.n, plan.border) == (21, 1)
    check(plan, f, point(), 1e-10 if dtype == torch.float64 else 1e-4)
    gradient = plan(x := point())[1]
    assert {name: leaf.shape for name, leaf in gradient.items()} == {name: leaf.shape for name, leaf in x.items()}


def test_unknowns_of_any_shape_in_a_batch() -> None:
    def f(x: Tensor) -> Tensor:
        assert x.shape == (5, 2)
        return (x[1:, 0] * x[:-1, 1]).sin().sum() + (x**4).sum()

    plan = banded.plan(f, torch.randn(3, 5, 2).double(), batch_dims=1)
    check(plan, f, torch.randn(3, 5, 2).double())


def test_problems_with_different_patterns_share_one_that_holds_all() -> None:
    """Which unknowns couple depends on where a problem is; one such problem among many."""

    def f(x: Tensor) -> Tensor:
        return (x**4).sum() + (x[3:] * x[:-3] * (x[3:] - 100).relu()).sum() + (x[1:] * x[:-1]).sum()

    x = torch.randn(10, 20, dtype=torch.float64)
    for which in range(10):
        y = x.clone()
        y[which] += 200
        plan = banded.plan(f, y, batch_dims=1)
        assert plan.bandwidth == 3
        check(plan, f, y)
        with pytest.raises(BandwidthError, match="bandwidth=3"):
            banded.plan(f, y, batch_dims=1, bandwidth=1)
    with pytest.raises(BandwidthError, match="leak"):
        banded.plan(f, x, batch_dims=1)(x + 200, check=True)


def test_more_patterns_than_are_looked_at_are_refused_not_forgotten() -> None:
    """Unknown 7 of each problem couples to another one."""
    number = torch.arange(20)

    def f(x: Tensor) -> Tensor:
        mine = (x[-1].detach() - number).abs() < 0.5
        return (x**4).sum() + (mine * x[7] * x[number + 11]).sum()

    x = torch.cat([torch.randn(20, 35).double(), number[:, None].double()], 1)
    with pytest.raises(BandwidthError, match="some problems of the batch couple"):
        banded.plan(f, x, batch_dims=1)
    check(banded.plan(f, x, batch_dims=1, bandwidth=23), f, x)


@pytest.mark.parametrize("method", METHODS)
def test_problems_on_different_scales(method: str) -> None:
    """The last unknown scales the problem, or one of its unknowns, which then dwarfs the others in some problems."""

    def alike(x: Tensor) -> Tensor:
        return x[-1].detach() * (rosenbrock(x[:-1]) + x[-1] ** 2)

    def unlike(x: Tensor) -> Tensor:
        return rosenbrock(x[:-1]) + x[-1].detach() * (x[3] ** 2 + x[-1] ** 2)

    scale = torch.logspace(-6, 6, 5, dtype=torch.float64)
    x = torch.cat([torch.randn(5, 12, dtype=torch.float64), scale[:, None]], 1)
    for f in (alike, unlike):
        try:
            H = banded.hessian(f, x, batch_dims=1, method=method).to_dense()
        except RecoveryError:
            assert method != "direct"  # the others say so where they lose digits
            assert f is unlike
            continue
        for i in range(5):
            dense: Any = torch.func.hessian(f)(x[i])
            torch.testing.assert_close(H[i], dense, rtol=1e-9, atol=1e-9 * float(dense.abs().max()))


def test_a_batch_of_one_is_not_no_batch() -> None:
    x = torch.randn(1, 9, dtype=torch.float64)
    value, gradient, H = banded.plan(rosenbrock, x, batch_dims=1)(x)
    assert (value.shape, gradient.shape, H.shape) == ((1,), (1, 9), (1, 9, 9))


def test_large_batches_in_little_memory() -> None:
    x = torch.randn(50, 40, dtype=torch.float64)
    plan = banded.plan(rosenbrock, x, batch_dims=1)
    torch.testing.assert_close(
        banded.plan(rosenbrock, x, batch_dims=1, memory=1)(x)[2].to_dense(), plan(x)[2].to_dense()
    )


def test_a_batch_is_held_to_what_the_plan_was_made_for() -> None:
    x = torch.randn(3, 9, dtype=torch.float64)
    plan = banded.plan(rosenbrock, x, batch_dims=1)
    for point in (x[:2], x[0], x[None], torch.randn(9, 3, dtype=torch.float64)):
        with pytest.raises(ValueError, match=r"expected \(3, 9\), .* for which the plan was made"):
            plan(point)
    with pytest.raises(ValueError, match=r"expected \(3, 9\), .* for which the plan was made"):
        banded.minimize(plan, x[:2])


def test_a_problem_that_is_not_finite_or_wrong_is_named() -> None:
    x = torch.ones(3, 5, dtype=torch.float64)
    x[1, 2] = -1
    with pytest.raises(NonFiniteError, match=r"gradient\[2\] = nan"):
        banded.plan(lambda x: x.sqrt().sum() + x[0] * x[1], x, batch_dims=1)
    functions: list[tuple[Any, type[Exception], str]] = [
        (lambda x: x**2, ValueError, r"f: expected a scalar of shape \(\), got shape \(5,\)"),
        (lambda x: (x**2).sum()[None], ValueError, r"f: expected a scalar of shape \(\), got shape \(1,\)"),
        (lambda x: 1.0, TypeError, "f: expected a scalar tensor, got float"),
        (lambda x: (x**2).sum().long(), TypeError, "got int64"),
    ]
    for f, error, text in functions:
        with pytest.raises(error, match=text):
            banded.plan(f, x, batch_dims=1)
    with pytest.raises(ValueError, match="depends on x"):
        banded.plan(lambda x: torch.ones(()).double(), x, batch_dims=1)
