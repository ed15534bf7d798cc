"""Every engine, by itself."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from banded.hessian.compiled import compiled
from banded.hessian.products import Engine, Function, batched, loop, over_batch, replicated, value_of

Make = Callable[[Function], Engine]
EAGER: dict[str, Make] = {"loop": loop, "batched": lambda f: batched(f, rows=64), "replicated": replicated}
EVERY = pytest.mark.parametrize("make", EAGER.values(), ids=EAGER.keys())


def quartic(x: Tensor) -> Tensor:
    return (x[1:] - x[:-1] ** 2).square().sum() + x.exp().sum()


def dense(f: Function, x: Tensor) -> Tensor:
    hessian: Any = torch.func.hessian(f)(x)
    result: Tensor = hessian
    return result


@pytest.mark.parametrize("make", [*EAGER.values(), compiled], ids=[*EAGER, "compiled"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_engines_agree_with_dense_derivatives(make: Make, dtype: torch.dtype) -> None:
    x = torch.linspace(-1, 1, 9, dtype=dtype)
    probes = torch.randn(4, 9, dtype=dtype)
    value, gradient, products = make(quartic)(x, probes)
    torch.testing.assert_close(value, quartic(x))
    torch.testing.assert_close(gradient, torch.func.grad(quartic)(x))
    torch.testing.assert_close(products, probes @ dense(quartic, x))
    assert not any(t.requires_grad for t in (value, gradient, products))


@EVERY
@pytest.mark.parametrize("batch", [(3,), (2, 3)])
@pytest.mark.parametrize("vectorised", [False, True])
def test_engines_of_batches(make: Make, batch: tuple[int, ...], vectorised: bool) -> None:
    if make is replicated and not vectorised:
        pytest.skip("problems one by one cannot be copied")
    x = torch.randn(*batch, 5, dtype=torch.float64)
    probes = torch.randn(4, 5, dtype=torch.float64)
    value, gradient, products = make(over_batch(quartic, len(batch), vectorised=vectorised))(x, probes)
    assert (value.shape, gradient.shape, products.shape) == (batch, (*batch, 5), (*batch, 4, 5))
    for i, one in enumerate(x.reshape(-1, 5)):
        torch.testing.assert_close(value.reshape(-1)[i], quartic(one))
        torch.testing.assert_close(gradient.reshape(-1, 5)[i], torch.func.grad(quartic)(one))
        torch.testing.assert_close(products.reshape(-1, 4, 5)[i], probes @ dense(quartic, one))


@pytest.mark.parametrize("rows", [1, 2, 3, 6, 7, 8, 100])
def test_probes_are_taken_in_several_passes(rows: int) -> None:
    x = torch.linspace(-1, 1, 9, dtype=torch.float64)
    probes = torch.randn(7, 9, dtype=torch.float64)
    torch.testing.assert_close(batched(quartic, rows)(x, probes)[2], probes @ dense(quartic, x))


@EVERY
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_derivatives_in_modes_without_gradients(make: Make, mode: Callable[[], Any]) -> None:
    with mode():
        x = torch.linspace(-1, 1, 5, dtype=torch.float64)
        products = make(quartic)(x, torch.eye(5, dtype=torch.float64))[2]
    torch.testing.assert_close(products, dense(quartic, torch.linspace(-1, 1, 5, dtype=torch.float64)))


@EVERY
def test_unknowns_that_enter_linearly_or_not_at_all(make: Make) -> None:
    x = torch.ones(3, dtype=torch.float64)
    products = make(lambda x: x[0] ** 3 + 2 * x[1])(x, torch.eye(3, dtype=torch.float64))[2]
    torch.testing.assert_close(products, torch.diag(torch.tensor([6.0, 0, 0], dtype=torch.float64)))


@EVERY
def test_linear_functions_are_refused(make: Make) -> None:
    for f in (lambda x: (2 * x).sum() + 1, lambda x: 0 * x.sum() + 3):
        with pytest.raises(ValueError, match=r"linear.*Hessian is zero"):
            make(f)(torch.ones(3), torch.ones(1, 3))


@EVERY
def test_functions_that_do_not_use_x_are_refused(make: Make) -> None:
    other = torch.ones(3, requires_grad=True)
    for f in (lambda x: torch.ones(()), lambda x: x.detach().square().sum(), lambda x: other.square().sum()):
        with pytest.raises(ValueError, match=r"depends on x.*trace back"):
            make(f)(torch.ones(3), torch.ones(1, 3))


@EVERY
def test_a_gradient_whose_graph_is_that_of_a_parameter(make: Make) -> None:
    w = torch.ones(3, requires_grad=True)
    assert not make(lambda x: (w * x).sum())(torch.ones(3), torch.eye(3))[2].any()


def test_values_leave_no_graph_and_no_trace() -> None:
    x = torch.ones(3, requires_grad=True)
    assert not value_of(quartic)(x).requires_grad

    def writes(x: Tensor) -> Tensor:
        return x.mul_(2).sum()

    assert float(value_of(writes)(x)) == 6
    assert x.tolist() == [1, 1, 1]
