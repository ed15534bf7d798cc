import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from banded.hessian.products import Engine, Function, batched, compiled, loop, value_of

EAGER = [loop, batched]


def quartic(x: Tensor) -> Tensor:
    return (x[1:] - x[:-1] ** 2).square().sum() + x.exp().sum()


def dense(f: Function, x: Tensor) -> Tensor:
    hessian: Any = torch.func.hessian(f)(x)
    result: Tensor = hessian
    return result


@pytest.mark.parametrize("engine", [loop, batched, compiled])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_engines_agree_with_dense_derivatives(engine: Callable[[Function], Engine], dtype: torch.dtype) -> None:
    x = torch.linspace(-1, 1, 9, dtype=dtype)
    probes = torch.randn(4, 9, dtype=dtype)
    value, gradient, products = engine(quartic)(x, probes)
    torch.testing.assert_close(value, quartic(x))
    torch.testing.assert_close(gradient, torch.func.grad(quartic)(x))
    torch.testing.assert_close(products, probes @ dense(quartic, x))
    assert not any(t.requires_grad for t in (value, gradient, products))


@pytest.mark.parametrize("engine", EAGER)
def test_a_batch_too_large_for_memory_is_split(
    engine: Callable[[Function], Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["banded.hessian.products"], "BATCH_ENTRIES", 20)
    x = torch.linspace(-1, 1, 9, dtype=torch.float64)
    probes = torch.randn(7, 9, dtype=torch.float64)
    torch.testing.assert_close(engine(quartic)(x, probes)[2], probes @ dense(quartic, x))


@pytest.mark.parametrize("engine", EAGER)
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_derivatives_in_modes_without_gradients(engine: Callable[[Function], Engine], mode: Callable[[], Any]) -> None:
    with mode():
        x = torch.linspace(-1, 1, 5, dtype=torch.float64)
        products = engine(quartic)(x, torch.eye(5, dtype=torch.float64))[2]
    torch.testing.assert_close(products, dense(quartic, torch.linspace(-1, 1, 5, dtype=torch.float64)))


@pytest.mark.parametrize("engine", EAGER)
def test_unknowns_that_enter_linearly_or_not_at_all(engine: Callable[[Function], Engine]) -> None:
    x = torch.ones(3, dtype=torch.float64)
    products = engine(lambda x: x[0] ** 3 + 2 * x[1])(x, torch.eye(3, dtype=torch.float64))[2]
    torch.testing.assert_close(products, torch.diag(torch.tensor([6.0, 0, 0], dtype=torch.float64)))


@pytest.mark.parametrize("engine", EAGER)
def test_linear_functions_are_refused(engine: Callable[[Function], Engine]) -> None:
    for f in (lambda x: (2 * x).sum() + 1, lambda x: 0 * x.sum() + 3):
        with pytest.raises(ValueError, match=r"linear.*Hessian is zero"):
            engine(f)(torch.ones(3), torch.ones(1, 3))


@pytest.mark.parametrize("engine", EAGER)
def test_functions_that_do_not_use_x_are_refused(engine: Callable[[Function], Engine]) -> None:
    other = torch.ones(3, requires_grad=True)
    for f in (lambda x: torch.ones(()), lambda x: x.detach().square().sum(), lambda x: other.square().sum()):
        with pytest.raises(ValueError, match=r"depends on x.*trace back"):
            engine(f)(torch.ones(3), torch.ones(1, 3))


def test_values_leave_no_graph() -> None:
    assert not value_of(quartic)(torch.ones(3, requires_grad=True)).requires_grad
