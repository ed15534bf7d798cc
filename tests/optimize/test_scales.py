"""Functions of any scale and stiffness: what counts as a minimum, and what as a fall without limit."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import banded
from banded import Status

Function = Callable[[Tensor], Tensor]
Y = 3 * torch.linspace(0, 3, 50, dtype=torch.float64).sin()


def zeros(n: int) -> Tensor:
    return torch.zeros(n, dtype=torch.float64)


def bending(x: Tensor) -> Tensor:
    return (x[2:] - 2 * x[1:-1] + x[:-2]).square().sum()


@pytest.mark.parametrize("globalisation", ["line search", "trust region"])
@pytest.mark.parametrize("weight", [1e5, 1e6, 1e7])
def test_a_saddle_of_a_stiff_chain_is_left(weight: float, globalisation: str) -> None:
    """Curvature of -1 is far above rounding errors, though far below sqrt(eps) times the row sums."""
    result = banded.minimize(
        lambda x: weight * bending(x) + (x**4 / 4 - x**2 / 2).sum(), zeros(20), globalisation=globalisation
    )
    assert result.success
    assert result.value < -2
    H = torch.func.hessian(lambda x: weight * bending(x) + (x**4 / 4 - x**2 / 2).sum())(result.x)
    assert float(torch.linalg.eigvalsh(H)[0]) > -1e-4


@pytest.mark.parametrize("scale", [1e-12, 1e-8, 1e-4, 1e6])
def test_soft_directions_of_a_stiff_chain_are_found_at_any_scale(scale: float) -> None:
    def f(x: Tensor) -> Tensor:
        return (x - Y).cosh().sum() + 1e8 * bending(x)

    plain = banded.minimize(f, zeros(50))
    scaled = banded.minimize(lambda x: scale * f(x), zeros(50))
    assert scaled.success
    assert scaled.value / scale == pytest.approx(plain.value, rel=1e-7)
    torch.testing.assert_close(scaled.x, plain.x, rtol=0, atol=1e-3)


@pytest.mark.parametrize("globalisation", ["line search", "trust region"])
@pytest.mark.parametrize(
    ("f", "least"),
    [(lambda x: 1e22 * (x**4 - x**2).sum(), -7.5e21), (lambda x: ((x**2 - 1e11) ** 2 - 1e22).sum(), -3e22)],
)
def test_deep_minima_are_no_fall_without_limit(f: Function, least: float, globalisation: str) -> None:
    result = banded.minimize(f, zeros(3), globalisation=globalisation)
    assert result.success
    assert result.value == pytest.approx(least, rel=1e-9)


@pytest.mark.parametrize("f", [lambda x: 1e3 * (x**4 - x).sum(), lambda x: ((x / 0.01) ** 4 - x / 0.01).sum()])
def test_a_start_without_any_curvature(f: Function) -> None:
    assert banded.minimize(f, zeros(20)).status is Status.CONVERGED


@pytest.mark.parametrize("globalisation", ["line search", "trust region"])
@pytest.mark.parametrize(
    ("f", "start"),
    [(lambda x: -(-(x**2)).exp().sum(), 27.28), (lambda x: 1e-323 * ((x**2 - 1) ** 2).sum(), 0.1)],
)
def test_subnormal_curvature_is_no_endless_loop(f: Function, start: float, globalisation: str) -> None:
    result = banded.minimize(f, torch.full((3,), start, dtype=torch.float64), globalisation=globalisation)
    assert bool(result.x.isfinite().all())


def test_a_plan_of_a_loss_is_none_of_residuals() -> None:
    plan = banded.plan(lambda x: (x - 3).square().sum(), zeros(5))
    with pytest.raises(TypeError, match="expected a Plan of residuals"):
        banded.least_squares(plan, zeros(5))


def test_gauss_newtons_matrix_is_that_of_the_jacobian() -> None:
    def r(x: Tensor) -> Tensor:
        return torch.cat([10 * (x[1:] - x[:-1] ** 2), 1 - x])

    x = torch.linspace(-1, 1, 12, dtype=torch.float64)
    J = torch.func.jacrev(r)(x)
    value, gradient, H = banded.plan(r, zeros(12), residuals=True)(x)
    torch.testing.assert_close(H.to_dense(), J.T @ J)
    torch.testing.assert_close(gradient, J.T @ r(x))
    torch.testing.assert_close(value, r(x).square().sum() / 2)
    result = banded.least_squares(r, zeros(12))
    torch.testing.assert_close(result.x, torch.ones_like(x))
