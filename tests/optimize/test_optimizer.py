"""banded.Newton, in the place of torch.optim.LBFGS."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import banded
from banded import BandwidthError, LineSearch, NonFiniteError, Status
from oracles import chain, rosenbrock, wells


def parameter(n: int = 8, value: float = 0.0, dtype: torch.dtype = torch.float64) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.full((n,), value, dtype=dtype))


def dense_step(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    H: Any = torch.func.hessian(f)(x.detach())
    g: Any = torch.func.grad(f)(x.detach())
    step: Tensor = torch.linalg.solve(H, g)
    return x.detach() - step


@pytest.mark.parametrize("globalisation", ["line search", "trust region"])
@pytest.mark.parametrize(("f", "start"), [(rosenbrock, 0.0), (wells, 0.1)])
def test_steps_are_those_of_minimize(f: Callable[[Tensor], Tensor], start: float, globalisation: str) -> None:
    x = parameter(8, start)
    result = banded.minimize(f, x.detach().clone(), globalisation=globalisation)
    optimizer = banded.Newton([x], globalisation=globalisation)
    for record in result.history[:-1]:
        assert float(optimizer.step(lambda: f(x))) == pytest.approx(record.value, rel=1e-9, abs=1e-14)
    assert optimizer.status is Status.CONVERGED
    torch.testing.assert_close(x.detach(), result.x, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("zero_grad", [False, True])
def test_closures_as_for_lbfgs_and_without_backward(backward: bool, zero_grad: bool) -> None:
    x, plain = parameter(), parameter()
    optimizer, other = banded.Newton([x]), banded.Newton([plain])

    def closure() -> Tensor:
        if zero_grad:
            optimizer.zero_grad()
        loss = rosenbrock(x)
        if backward:
            loss.backward()  # type: ignore[no-untyped-call]
        return loss

    for _ in range(5):
        assert torch.equal(optimizer.step(closure), other.step(lambda: rosenbrock(plain)))
    assert torch.equal(x, plain)


def test_backward_is_itself_again_after_a_step() -> None:
    backward = Tensor.backward
    x = parameter()

    def fail() -> Tensor:
        raise RuntimeError("mine")

    optimizer = banded.Newton([x])
    optimizer.step(lambda: rosenbrock(x))
    assert Tensor.backward is backward
    with pytest.raises(RuntimeError, match="mine"):
        optimizer.step(fail)
    assert Tensor.backward is backward


def test_the_loss_is_that_before_the_step_without_a_graph() -> None:
    x = parameter()
    loss = banded.Newton([x]).step(lambda: rosenbrock(x))
    assert float(loss) == 7
    assert loss.shape == ()
    assert not loss.requires_grad


def test_gradients_are_those_where_the_parameters_are_afterwards() -> None:
    x = parameter()
    optimizer = banded.Newton([x])
    for _ in range(4):
        optimizer.step(lambda: rosenbrock(x))
        assert x.grad is not None
        torch.testing.assert_close(x.grad, torch.func.grad(rosenbrock)(x.detach()))
    assert x.grad is not None
    with torch.no_grad():
        x.grad.fill_(torch.nan)  # it is the user's
    optimizer.step(lambda: rosenbrock(x))
    assert bool(x.isfinite().all())


def test_a_path_with_a_scalar_that_couples_to_all_of_it() -> None:
    path, scale = torch.nn.Parameter(torch.zeros(9, 2).double()), torch.nn.Parameter(torch.ones(()).double())
    target = torch.linspace(0, 1, 18, dtype=torch.float64).reshape(9, 2)

    def f(path: Tensor, scale: Tensor) -> Tensor:
        return (path - scale * target).square().sum() + path.diff(dim=0).square().sum() + (scale - 2) ** 2

    result = banded.minimize(lambda x: f(*x), (path.detach().clone(), scale.detach().clone()))
    optimizer = banded.Newton([path, scale])
    loss = optimizer.step(lambda: f(path, scale))
    assert float(loss) == pytest.approx(float(f(torch.zeros(9, 2).double(), torch.ones(()).double())))
    torch.testing.assert_close(path.detach(), result.x[0])
    torch.testing.assert_close(scale.detach(), result.x[1])
    assert path.grad is not None
    assert scale.grad is not None
    assert path.grad.shape == path.shape
    assert scale.grad.shape == ()
    assert optimizer.status is Status.CONVERGED


def test_parameters_that_the_loss_does_not_use_stay() -> None:
    x, idle = parameter(), parameter(8, 3.0)
    banded.Newton([x, idle], max_iterations=50).step(lambda: rosenbrock(x))
    np.testing.assert_allclose(x.detach(), 1, rtol=1e-7)
    assert torch.equal(idle.detach(), torch.full((8,), 3.0).double())


def test_many_iterations_in_one_step() -> None:
    x = parameter()
    optimizer = banded.Newton([x], max_iterations=100)
    optimizer.step(lambda: rosenbrock(x))
    assert optimizer.status is Status.CONVERGED
    np.testing.assert_allclose(x.detach(), 1, rtol=1e-7)
    three, once = parameter(), parameter()
    banded.Newton([three], max_iterations=3).step(lambda: rosenbrock(three))
    optimizer = banded.Newton([once])
    for _ in range(3):
        optimizer.step(lambda: rosenbrock(once))
    torch.testing.assert_close(three, once)


def test_at_the_minimum_steps_do_nothing() -> None:
    x = parameter(5, 1.0)
    optimizer = banded.Newton([x])
    for _ in range(3):
        assert float(optimizer.step(lambda: rosenbrock(x))) == 0
        assert optimizer.status is Status.CONVERGED
    assert torch.equal(x.detach(), torch.ones(5).double())


def test_status_is_none_while_it_goes_on() -> None:
    x = parameter()
    optimizer = banded.Newton([x])
    assert optimizer.status is None
    optimizer.step(lambda: rosenbrock(x))
    assert optimizer.status is None


def test_status_of_a_loss_without_a_bound() -> None:
    x = parameter(3, -1.0)
    optimizer = banded.Newton([x], max_iterations=200)
    optimizer.step(lambda: (x**3).sum())
    assert optimizer.status is Status.UNBOUNDED
    assert bool(x.isfinite().all())


@pytest.mark.parametrize("calls", [1, 2, 4, 12, 20])
def test_a_closure_that_raises_leaves_the_parameters_as_they_were(calls: int) -> None:
    x, count = parameter(), 0
    optimizer = banded.Newton([x], max_iterations=50, bandwidth=1)

    def closure() -> Tensor:
        nonlocal count
        count += 1
        if count >= calls:
            raise RuntimeError("mine")
        return rosenbrock(x)

    with pytest.raises(RuntimeError, match="mine"):
        optimizer.step(closure)
    assert torch.equal(x.detach(), torch.zeros(8).double())
    optimizer.step(lambda: rosenbrock(x))
    np.testing.assert_allclose(x.detach(), 1, rtol=1e-7)


def test_another_loss_at_each_step_is_solved_by_its_own_newton_step() -> None:
    """Mini-batches of a smoothing problem."""
    generator = torch.Generator().manual_seed(0)
    x = parameter(10)
    optimizer = banded.Newton([x])
    for _ in range(5):
        y, w = torch.randn(2, 10, dtype=torch.float64, generator=generator)

        def f(x: Tensor, y: Tensor = y, w: Tensor = w) -> Tensor:
            return ((x - y).square() * w.exp()).sum() + chain(x)

        expected = dense_step(f, x)
        optimizer.step(lambda f=f: f(x))  # type: ignore[misc]
        torch.testing.assert_close(x.detach(), expected, rtol=1e-9, atol=1e-10)


def test_a_load_that_is_switched_on_moves_what_was_at_rest() -> None:
    """At x = 0 the energy is 0 with and without load: that the value is the same does not make it the same loss."""
    x, load = parameter(5), 0.0

    def energy(x: Tensor) -> Tensor:
        return chain(x) - load * x.sum()

    optimizer = banded.Newton([x])
    optimizer.step(lambda: energy(x))
    assert optimizer.status is Status.CONVERGED
    load = 1.0
    expected = dense_step(energy, x)
    optimizer.step(lambda: energy(x))
    torch.testing.assert_close(x.detach(), expected)


def test_parameters_that_are_moved_from_outside() -> None:
    x = parameter()
    optimizer = banded.Newton([x])
    optimizer.step(lambda: chain(x - 1))
    with torch.no_grad():
        x.fill_(5)
    assert float(optimizer.step(lambda: chain(x - 1))) == pytest.approx(16)
    expected = dense_step(lambda x: chain(x - 1), torch.full((8,), 5.0).double())
    torch.testing.assert_close(x.detach(), expected)


def test_a_loss_that_couples_more_than_at_the_first_step_is_not_solved_with_too_narrow_a_band() -> None:
    """The structure is kept: either it is found again, or said not to hold."""
    x = parameter(12, 0.5)
    optimizer = banded.Newton([x])
    optimizer.step(lambda: chain(x - 1))

    def wider(x: Tensor) -> Tensor:
        return chain(x - 2) + (x[4:] - x[:-4] - 1).square().sum()

    expected = dense_step(wider, x)
    try:
        optimizer.step(lambda: wider(x))
    except BandwidthError:
        return
    if optimizer.status is not Status.BANDWIDTH:
        torch.testing.assert_close(x.detach(), expected)


def test_more_than_one_group_is_refused() -> None:
    x, y = parameter(), parameter()
    with pytest.raises(ValueError, match="params: expected one group of parameters, got 2"):
        banded.Newton([{"params": [x]}, {"params": [y]}])  # type: ignore[list-item]


def test_a_group_that_is_added_later_is_refused() -> None:
    optimizer = banded.Newton([parameter()])
    with pytest.raises(ValueError, match="one group"):
        optimizer.add_param_group({"params": [parameter()]})


def test_state_survives() -> None:
    x, y = parameter(), parameter()
    first, second = banded.Newton([x], max_iterations=2), banded.Newton([y], max_iterations=7)
    first.step(lambda: rosenbrock(x))
    second.load_state_dict(first.state_dict())
    assert second.param_groups[0]["max_iterations"] == 2
    second.step(lambda: rosenbrock(y))
    torch.testing.assert_close(x, y)
    first.load_state_dict(first.state_dict())
    for _ in range(30):
        first.step(lambda: rosenbrock(x))
    np.testing.assert_allclose(x.detach(), 1, rtol=1e-7)


def test_settings_can_be_changed_between_steps() -> None:
    x = parameter()
    optimizer = banded.Newton([x])
    optimizer.step(lambda: rosenbrock(x))
    optimizer.param_groups[0]["max_iterations"] = 100
    optimizer.step(lambda: rosenbrock(x))
    assert optimizer.status is Status.CONVERGED


def test_float32() -> None:
    x = parameter(8, 0.1, torch.float32)
    optimizer = banded.Newton([x], max_iterations=60, tolerance=1e-4)
    loss = optimizer.step(lambda: wells(x))
    assert loss.dtype == torch.float32
    assert optimizer.status is not None
    assert optimizer.status.success
    np.testing.assert_allclose(x.detach(), 1, rtol=1e-4)
    assert x.grad is not None
    assert x.grad.dtype == torch.float32


def test_modes_of_the_caller() -> None:
    x = parameter()
    optimizer = banded.Newton([x])
    with torch.no_grad():
        optimizer.step(lambda: rosenbrock(x))
    assert x.requires_grad
    y = parameter()
    banded.Newton([y]).step(lambda: rosenbrock(y))
    assert torch.equal(x, y)


@pytest.mark.parametrize("search", [LineSearch(wolfe=False), LineSearch(memory=10), banded.TrustRegion(0.5)])
def test_searches_with_settings(search: Any) -> None:
    x = parameter()
    optimizer = banded.Newton([x], globalisation=search)
    for _ in range(60):
        optimizer.step(lambda: rosenbrock(x))
    assert optimizer.status is Status.CONVERGED
    np.testing.assert_allclose(x.detach(), 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ([torch.zeros(3, requires_grad=True) * 2], ValueError),  # torch's own
        ([], ValueError),
        ([3], TypeError),
        (torch.zeros(3), TypeError),
        ([torch.zeros(3, dtype=torch.complex64, requires_grad=True)], TypeError),
        ([torch.zeros(3, dtype=torch.float16, requires_grad=True)], TypeError),
        ([torch.zeros(0, requires_grad=True)], ValueError),
        ([torch.zeros(3, requires_grad=True), torch.zeros(7, requires_grad=True)], ValueError),
        ([torch.zeros(3, requires_grad=True), torch.zeros(3, dtype=torch.float64, requires_grad=True)], ValueError),
    ],
)
def test_bad_parameters(params: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        banded.Newton(params)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"max_iterations": 1.5}, TypeError, "max_iterations"),
        ({"max_iterations": -1}, ValueError, "max_iterations"),
        ({"tolerance": -1.0}, ValueError, "tolerance"),
        ({"tolerance": "small"}, TypeError, "tolerance"),
        ({"globalisation": "newton"}, ValueError, "globalisation"),
        ({"globalisation": 3}, TypeError, "globalisation"),
        ({"border": [99]}, ValueError, "border"),
    ],
)
def test_bad_settings(options: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        banded.Newton([parameter()], **options)


def test_bad_closures() -> None:
    x = parameter(4)
    with pytest.raises(TypeError, match="closure: expected a function"):
        banded.Newton([x]).step(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="closure: expected it to return the loss, a tensor, got NoneType"):
        banded.Newton([x]).step(lambda: None)  # type: ignore[arg-type, return-value]
    with pytest.raises(ValueError, match="autograd cannot trace back"):
        banded.Newton([x]).step(lambda: torch.zeros(()).double())
    with pytest.raises(ValueError, match="scalar"):
        banded.Newton([x]).step(lambda: x**2)
    with pytest.raises(NonFiniteError):
        banded.Newton([x]).step(lambda: (x - 1).log().sum())
    with pytest.raises(BandwidthError):
        banded.Newton([x], bandwidth=0).step(lambda: chain(x - 1))
    assert torch.equal(x.detach(), torch.zeros(4).double())


def test_errors_speak_of_parameters_and_closures() -> None:
    def zeros(dtype: torch.dtype) -> Tensor:
        return torch.zeros(3, dtype=dtype, requires_grad=True)

    with pytest.raises(ValueError, match=r"^params\[1\]: expected torch.float64 .* params\[0\], got torch.float32"):
        banded.Newton([zeros(torch.float64), zeros(torch.float32)])
    with pytest.raises(TypeError, match=r"^params\[0\]: expected dtype float32 or float64, got float16"):
        banded.Newton([zeros(torch.float16)])
    x = parameter(4)
    for closure, text in (
        (lambda: x**2, "expected a scalar"),
        (lambda: (x - 1).log().sum(), "expected a finite value"),
        (lambda: x.detach().sum(), "expected a value that depends on x.*; let it use the parameters"),
        (lambda: x.sum(), "expected a function with second derivatives"),
    ):
        with pytest.raises((ValueError, TypeError), match=f"^closure: {text}"):
            banded.Newton([x]).step(closure)


def test_a_closure_may_call_autograd_itself() -> None:
    x = parameter(4)
    optimizer = banded.Newton([x])

    def closure() -> Tensor:
        loss = (x - 3).square().sum()
        torch.autograd.backward(loss)
        return loss

    optimizer.step(closure)
    torch.testing.assert_close(x.detach(), torch.full_like(x.detach(), 3.0))
