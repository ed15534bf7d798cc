"""Derivatives of minima, against closed forms, finite differences and unrolled dense Newton steps."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import banded
from banded import Status
from oracles import chain, rosenbrock

TIGHT: dict[str, Any] = {"tolerance": 1e-11}
N = 7


def differences(n: int) -> Tensor:
    """D, second differences."""
    return torch.eye(n, dtype=torch.float64).diff(dim=0).diff(dim=0)


def noisy(n: int = N, seed: int = 0) -> Tensor:
    return torch.randn(n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def smoothing(x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    return 0.5 * (x - y).square().sum() + 0.5 * weight * (x[2:] - 2 * x[1:-1] + x[:-2]).square().sum()


def curved(x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    return (x - y).cosh().log().sum() + weight * (x[1:] - x[:-1]).square().sum() + 0.1 * (x**4).sum()


def unrolled(f: Callable[..., Tensor], x: Tensor, *theta: Tensor) -> Tensor:
    """Two dense Newton steps from the minimum `x`, with their graph: the second has the exact first derivative."""
    x = x.detach()
    for _ in range(2):
        H: Any = torch.func.hessian(f)(x, *theta)
        g: Any = torch.func.grad(f)(x, *theta)
        x = x - torch.linalg.solve(H, g)
    return x


@pytest.mark.parametrize("closed_over", [True, False])
def test_smoothing_has_the_derivatives_of_its_closed_form(closed_over: bool) -> None:
    """x = (I + λ DᵀD)⁻¹ y."""
    D, y, weight = differences(N), noisy().requires_grad_(), torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    exact = torch.linalg.solve(torch.eye(N, dtype=torch.float64) + weight * D.T @ D, y)
    if closed_over:
        result = banded.minimize(lambda x: smoothing(x, y, weight), torch.zeros(N, dtype=torch.float64))
    else:
        result = banded.minimize(smoothing, torch.zeros(N, dtype=torch.float64), args=(y, weight))
    torch.testing.assert_close(result.x, exact, rtol=1e-9, atol=1e-9)
    v = noisy(seed=1)
    for mine, other in zip(
        torch.autograd.grad(result.x @ v, (y, weight)), torch.autograd.grad(exact @ v, (y, weight)), strict=True
    ):
        torch.testing.assert_close(mine, other, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("globalisation", ["line search", "trust region"])
def test_gradcheck(globalisation: str) -> None:
    y, weight = noisy().requires_grad_(), torch.tensor(0.7, dtype=torch.float64, requires_grad=True)

    def minimum(y: Tensor, weight: Tensor) -> Any:
        start = torch.zeros(N, dtype=torch.float64)
        return banded.minimize(curved, start, args=(y, weight), globalisation=globalisation, **TIGHT).x

    assert torch.autograd.gradcheck(minimum, (y, weight), atol=1e-6)


def test_unrolled_newton_steps_have_the_same_derivatives() -> None:
    y, weight = noisy().requires_grad_(), torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    x = banded.minimize(curved, torch.zeros(N, dtype=torch.float64), args=(y, weight), **TIGHT).x
    v = noisy(seed=1)
    expected = torch.autograd.grad(unrolled(curved, x, y, weight) @ v, (y, weight))
    for mine, other in zip(torch.autograd.grad(x @ v, (y, weight)), expected, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-7, atol=1e-9)


def test_the_whole_jacobian_row_by_row() -> None:
    y = noisy().requires_grad_()
    x = banded.minimize(curved, torch.zeros(N, dtype=torch.float64), args=(y, torch.tensor(0.7).double()), **TIGHT).x
    rows = [torch.autograd.grad(one, y, retain_graph=True)[0] for one in x]
    H: Any = torch.func.hessian(curved)(x.detach(), y.detach(), torch.tensor(0.7).double())
    mixed = -torch.diag(1 / (x - y).detach().cosh().square())
    torch.testing.assert_close(torch.stack(rows), -torch.linalg.solve(H, mixed), rtol=1e-8, atol=1e-10)


def test_tensors_that_are_no_leaves_pass_derivatives_on() -> None:
    theta = torch.tensor([0.3, 1.2], dtype=torch.float64, requires_grad=True)
    grid = torch.linspace(0, 3, N, dtype=torch.float64)

    def loss(theta: Tensor) -> Tensor:
        y, weight = (theta[0] * grid).sin() + theta[1], theta[1].exp()
        x: Tensor = banded.minimize(curved, torch.zeros(N, dtype=torch.float64), args=(y, weight), **TIGHT).x
        return (x * grid).sum() + theta[0] * x.square().sum()

    assert torch.autograd.gradcheck(loss, (theta,), atol=1e-6)


def test_parameters_of_a_module_are_trained_through_a_minimum() -> None:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(1, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1)).double()
    grid = torch.linspace(-1, 1, N, dtype=torch.float64)[:, None]

    def f(x: Tensor) -> Tensor:
        return curved(x, net(grid)[:, 0], torch.tensor(0.3).double())

    x = banded.minimize(f, torch.zeros(N, dtype=torch.float64), **TIGHT).x
    x.square().sum().backward()
    for parameter in net.parameters():
        assert parameter.grad is not None
        step, place = 1e-6, (0,) * parameter.ndim
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter[place] += sign * step
                values.append(float(banded.minimize(f, torch.zeros(N, dtype=torch.float64), **TIGHT).x.square().sum()))
                parameter[place] -= sign * step
        assert float(parameter.grad[place]) == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("B", [1, 3, 34])
def test_batches_with_data_of_their_own_and_shared_ones(B: int) -> None:
    y = noisy(B * N).reshape(B, N).requires_grad_()
    own = torch.linspace(0.5, 2, B, dtype=torch.float64).requires_grad_()
    shared = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)

    def f(x: Tensor, y: Tensor, own: Tensor) -> Tensor:
        return curved(x, y, own) + shared * x.exp().sum()

    results = banded.minimize(f, torch.zeros(B, N, dtype=torch.float64), args=(y, own), batch_dims=1, **TIGHT)
    v = noisy(B * N, 1).reshape(B, N)
    mine = torch.autograd.grad((results.x * v).sum(), (y, own, shared), retain_graph=True)
    alone = [banded.minimize(f, torch.zeros(N).double(), args=(y[i], own[i]), **TIGHT).x for i in range(B)]
    dense = torch.stack(
        [
            unrolled(lambda x, y, own, shared: curved(x, y, own) + shared * x.exp().sum(), x, y[i], own[i], shared)
            for i, x in enumerate(alone)
        ]
    )
    for other in (torch.stack(alone), dense):
        for one, two in zip(mine, torch.autograd.grad((other * v).sum(), (y, own, shared)), strict=True):
            torch.testing.assert_close(one, two, rtol=1e-6, atol=1e-9)
    single = torch.autograd.grad((results[B - 1].x * v[B - 1]).sum(), y)[0]
    torch.testing.assert_close(single[B - 1], mine[0][B - 1])
    assert not single[: B - 1].any()


def test_two_batch_dimensions() -> None:
    y = noisy(6 * N).reshape(2, 3, N).requires_grad_()
    weight = torch.full((2, 3), 3.0, dtype=torch.float64)
    x = banded.minimize(smoothing, torch.zeros(2, 3, N).double(), args=(y, weight), batch_dims=2).x
    D, v = differences(N), noisy(6 * N, 1).reshape(2, 3, N)
    expected = torch.linalg.solve(torch.eye(N, dtype=torch.float64) + 3 * D.T @ D, v[..., None])[..., 0]
    torch.testing.assert_close(torch.autograd.grad((x * v).sum(), y)[0], expected, rtol=1e-8, atol=1e-10)


def test_trees_with_borders() -> None:
    y = noisy(10).requires_grad_()
    start = {"path": torch.zeros(5, 2, dtype=torch.float64), "scale": torch.ones((), dtype=torch.float64)}

    def f(x: dict[str, Tensor], y: Tensor) -> Tensor:
        return (x["path"] - x["scale"] * y.reshape(5, 2)).square().sum() + (x["scale"] - 1) ** 2 + springs(x["path"])

    def flat(vector: Tensor, y: Tensor) -> Tensor:
        return f({"path": vector[:10].reshape(5, 2), "scale": vector[10]}, y)

    def springs(path: Tensor) -> Tensor:
        return path.diff(dim=0).square().sum() + 0.1 * (path**4).sum()

    x = banded.minimize(f, start, args=(y,), **TIGHT).x
    vector = torch.cat([x["path"].reshape(-1), x["scale"][None]])
    v = noisy(11, 1)
    expected = torch.autograd.grad(unrolled(flat, vector, y) @ v, y)[0]
    torch.testing.assert_close(torch.autograd.grad(vector @ v, y)[0], expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("kind", ["border", "loop", "shuffled", "shuffled border"])
def test_borders_loops_and_shuffled_unknowns(kind: str) -> None:
    n = 30
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0)) if "shuffled" in kind else torch.arange(n)
    y = noisy(n).requires_grad_()

    def f(x: Tensor, y: Tensor) -> Tensor:
        z = x[order]
        value = curved(z, y, torch.tensor(0.5).double())
        if "border" in kind:
            value = value + (z[:-1] - 0.3 * z[-1]).square().sum()
        return value + (z[0] - z[-1]).square() if kind == "loop" else value

    plan = banded.plan(f, torch.zeros(n, dtype=torch.float64), args=(y,))
    assert (plan.border > 0, plan.periodic) == (kind.endswith("border"), kind == "loop")
    assert (plan.order is not None) >= ("shuffled" in kind)
    x = banded.minimize(f, torch.zeros(n, dtype=torch.float64), args=(y,), **TIGHT).x
    v = noisy(n, 1)
    expected = torch.autograd.grad(unrolled(f, x, y) @ v, y)[0]
    torch.testing.assert_close(torch.autograd.grad(x @ v, y)[0], expected, rtol=1e-7, atol=1e-9)


def test_float32() -> None:
    y = noisy().float().requires_grad_()
    x = banded.minimize(smoothing, torch.zeros(N), args=(y, torch.tensor(3.0)), tolerance=1e-5).x
    D, v = differences(N).float(), noisy(seed=1).float()
    expected = torch.linalg.solve(torch.eye(N) + 3 * D.T @ D, v)
    (found,) = torch.autograd.grad(x @ v, y)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_no_graph_where_none_is_wanted() -> None:
    y, weight = noisy().requires_grad_(), torch.tensor(3.0).double()
    start = torch.zeros(N, dtype=torch.float64)
    with torch.no_grad():
        assert not banded.minimize(smoothing, start, args=(y, weight)).x.requires_grad
        assert not banded.minimize(smoothing, start[None], args=(y[None], weight[None]), batch_dims=1).x.requires_grad
    with torch.inference_mode():
        assert not banded.minimize(smoothing, start, args=(y, weight)).x.requires_grad
    assert not banded.minimize(smoothing, start, args=(y.detach(), weight)).x.requires_grad
    assert not banded.minimize(smoothing, start.clone().requires_grad_(), args=(y.detach(), weight)).x.requires_grad
    assert banded.minimize(smoothing, start, args=(y, weight)).x.requires_grad


def test_only_the_point_has_a_graph() -> None:
    y = noisy().requires_grad_()
    points: list[Tensor] = []
    result = banded.minimize(
        smoothing,
        torch.zeros(N).double(),
        args=(y, torch.tensor(3.0).double()),
        callback=lambda x, record: points.append(x),
    )
    assert not any(x.requires_grad for x in points)
    assert isinstance(result.value, float)
    assert y.grad is None


def test_a_singular_minimum_has_no_derivative() -> None:
    y = noisy(N - 1).requires_grad_()
    x = banded.minimize(lambda x: (x[1:] - x[:-1] - y).square().sum(), torch.zeros(N, dtype=torch.float64)).x
    with pytest.raises(ValueError, match=r"result\.x: expected a strict minimum to differentiate.*H is singular"):
        x.sum().backward()


def test_what_is_no_minimum_has_no_derivative() -> None:
    y = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    result = banded.minimize(lambda x: rosenbrock(x * y), torch.zeros(N, dtype=torch.float64), max_iterations=2)
    assert result.status is Status.MAX_ITERATIONS
    with pytest.raises(ValueError, match=r"result\.x: expected a minimum to differentiate, got MAX_ITERATIONS"):
        result.x.sum().backward()


def test_in_a_batch_the_problem_without_a_derivative_is_named() -> None:
    y = torch.ones(3, dtype=torch.float64, requires_grad=True)
    x = torch.zeros(3, N, dtype=torch.float64)
    x[[0, 2]] = 1
    results = banded.minimize(lambda x, y: rosenbrock(x * y), x, args=(y,), batch_dims=1, max_iterations=2)
    with pytest.raises(ValueError, match=r"result\.x\[1\]: expected a minimum to differentiate, got MAX_ITERATIONS"):
        results.x.sum().backward()


def test_a_second_derivative_is_refused() -> None:
    y = noisy().requires_grad_()
    x = banded.minimize(curved, torch.zeros(N).double(), args=(y, torch.tensor(0.7).double())).x
    (once,) = torch.autograd.grad(x.square().sum(), y, create_graph=True)
    with pytest.raises(NotImplementedError, match="expected one derivative, got a derivative of that"):
        torch.autograd.grad(once.sum(), y)


def test_writing_into_the_minimum_does_not_spoil_its_derivative() -> None:
    y, weight = noisy().requires_grad_(), torch.tensor(3.0).double()
    D, v = differences(N), noisy(seed=1)
    expected = torch.linalg.solve(torch.eye(N, dtype=torch.float64) + 3 * D.T @ D, v)
    result = banded.minimize(smoothing, torch.zeros(N, dtype=torch.float64), args=(y, weight))
    with torch.no_grad():
        result.x.fill_(1e6)
    torch.testing.assert_close(torch.autograd.grad(result.x @ v, y)[0], expected, rtol=1e-8, atol=1e-10)
    result = banded.minimize(smoothing, torch.zeros(N, dtype=torch.float64), args=(y, weight))
    doubled = result.x.mul_(2)
    torch.testing.assert_close(torch.autograd.grad(doubled @ v, y)[0], 2 * expected, rtol=1e-8, atol=1e-10)


def test_a_graph_that_is_kept_can_be_passed_through_again() -> None:
    y = noisy().requires_grad_()
    x = banded.minimize(smoothing, torch.zeros(N).double(), args=(y, torch.tensor(3.0).double())).x
    first = torch.autograd.grad(x.sum(), y, retain_graph=True)[0]
    assert torch.equal(first, torch.autograd.grad(x.sum(), y)[0])


def test_a_plan_keeps_its_derivatives() -> None:
    y = noisy().requires_grad_()
    start = torch.zeros(N, dtype=torch.float64)
    plan = banded.plan(lambda x: smoothing(x, y, torch.tensor(3.0).double()), start)
    D, v = differences(N), noisy(seed=1)
    expected = torch.linalg.solve(torch.eye(N, dtype=torch.float64) + 3 * D.T @ D, v)
    for _ in range(2):
        found = torch.autograd.grad(banded.minimize(plan, start).x @ v, y)[0]
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)


def test_energies_of_chains_in_closed_form() -> None:
    """x = K⁻¹ b."""
    b = noisy().requires_grad_()
    x = banded.minimize(lambda x: chain(x) - b @ x, torch.zeros(N, dtype=torch.float64)).x
    K = torch.diag(torch.full((N,), 2.0)) - torch.diag(torch.ones(N - 1), 1) - torch.diag(torch.ones(N - 1), -1)
    (found,) = torch.autograd.grad(x[3], b)
    torch.testing.assert_close(found, torch.linalg.inv(K.double())[3], rtol=1e-10, atol=1e-12)
