import dataclasses
import signal
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import Tensor

import banded
from banded import NonFiniteError, Status
from oracles import failing, rosenbrock

METHODS = ["direct", "symmetric"]


def test_a_quadratic_takes_one_step() -> None:
    A = torch.diag(torch.full((20,), 2.0)) - torch.diag(torch.ones(19), 1) - torch.diag(torch.ones(19), -1)
    A = A.double()
    b = torch.linspace(-1, 1, 20, dtype=torch.float64)
    result = banded.minimize(lambda x: 0.5 * x @ (A @ x) - b @ x, torch.zeros(20, dtype=torch.float64))
    assert result.status is Status.CONVERGED
    assert result.iterations == 1
    np.testing.assert_allclose(result.x, np.linalg.solve(A, b), rtol=1e-10)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [2, 10, 100])
def test_rosenbrock_reaches_its_known_minimum(n: int, method: str) -> None:
    result = banded.minimize(rosenbrock, torch.zeros(n, dtype=torch.float64), method=method)
    assert result.status is Status.CONVERGED
    np.testing.assert_allclose(result.x, 1, rtol=1e-8)
    assert result.value < 1e-14
    assert result.gradient_norm <= 1e-8


def test_the_minimum_is_that_of_an_independent_optimiser() -> None:
    target = torch.sin(torch.linspace(0, 6, 30, dtype=torch.float64)) * 3

    def f(x: Tensor) -> Tensor:
        return (x - target).cosh().log().sum() + 5 * (x[2:] - 2 * x[1:-1] + x[:-2]).square().sum()

    result = banded.minimize(f, torch.zeros(30, dtype=torch.float64))
    reference = scipy.optimize.minimize(
        lambda x: float(f(torch.from_numpy(x))), np.zeros(30), method="L-BFGS-B", options={"ftol": 0, "maxiter": 10_000}
    )
    assert result.success
    assert result.value <= reference.fun + 1e-9
    np.testing.assert_allclose(result.x, reference.x, atol=1e-3)


def test_indefinite_starts_are_regularised() -> None:
    """Double wells: the Hessian at the start has n negative eigenvalues."""

    def wells(x: Tensor) -> Tensor:
        return (x**2 - 1).square().sum() + 0.1 * (x[1:] - x[:-1]).square().sum()

    result = banded.minimize(wells, torch.full((50,), 0.1, dtype=torch.float64))
    assert result.history[0].shift > 0
    assert result.success
    np.testing.assert_allclose(result.x, 1, rtol=1e-9)


def test_unknowns_keep_their_shape_dtype_and_start() -> None:
    start = torch.zeros(7, 3)
    result = banded.minimize(lambda x: ((x - 1) ** 2).sum() + (x[1:] * x[:-1]).square().sum(), start, tolerance=1e-4)
    assert result.x.shape == (7, 3)
    assert result.x.dtype == torch.float32
    assert result.success
    assert not start.any()


def test_history_tells_the_way() -> None:
    result = banded.minimize(rosenbrock, torch.zeros(10, dtype=torch.float64))
    history = result.history
    assert [record.iteration for record in history] == list(range(result.iterations + 1))
    assert all(after.value <= before.value for before, after in pairwise(history))
    assert all(after.evaluations > before.evaluations for before, after in pairwise(history))
    assert all(after.seconds >= before.seconds for before, after in pairwise(history))
    assert history[0].step == 0
    assert all(record.step > 0 for record in history[1:])
    assert history[-1].value == result.value
    assert history[-1].gradient_norm == result.gradient_norm
    assert history[-1].evaluations == result.evaluations - 2  # for the check of the band, and for what f depends on
    assert history[-1].violation is None


def test_evaluations_are_counted_as_they_are_made() -> None:
    calls = 0

    def f(x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return rosenbrock(x)

    plan = banded.plan(f, torch.zeros(10, dtype=torch.float64))
    calls = 0
    result = banded.minimize(plan, torch.zeros(10, dtype=torch.float64))
    assert result.evaluations == calls


def test_a_plan_in_place_of_a_function() -> None:
    x = torch.zeros(10, dtype=torch.float64)
    plan = banded.plan(rosenbrock, x, method="symmetric")
    assert banded.minimize(plan, x).value == banded.minimize(rosenbrock, x, method="symmetric").value


def test_same_input_same_output() -> None:
    x = torch.zeros(30, dtype=torch.float64)
    assert torch.equal(banded.minimize(rosenbrock, x).x, banded.minimize(rosenbrock, x).x)


def test_a_minimum_to_start_with() -> None:
    result = banded.minimize(rosenbrock, torch.ones(5, dtype=torch.float64))
    assert (result.status, result.iterations) == (Status.CONVERGED, 0)


def test_no_iterations() -> None:
    result = banded.minimize(rosenbrock, torch.zeros(5, dtype=torch.float64), max_iterations=0)
    assert (result.status, result.iterations, result.value) == (Status.MAX_ITERATIONS, 0, 4)
    assert "max_iterations" in result.status.value


def test_iteration_limit_returns_the_best_point() -> None:
    result = banded.minimize(rosenbrock, torch.zeros(50, dtype=torch.float64), max_iterations=5)
    assert (result.status, result.iterations) == (Status.MAX_ITERATIONS, 5)
    assert not result.success
    assert result.value == pytest.approx(float(rosenbrock(result.x)), rel=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_tolerance_out_of_reach_ends_at_rounding_errors_and_says_so(dtype: torch.dtype) -> None:
    def f(x: Tensor) -> Tensor:
        return ((x - 0.1).square() * 1e3 + (x - 0.1) ** 4).sum() + (x[1:] * x[:-1]).sum() + 100

    result = banded.minimize(f, torch.ones(20, dtype=dtype), tolerance=0)
    assert result.status in (Status.PRECISION, Status.CONVERGED)  # an exact zero may be hit
    assert result.iterations < 30
    assert result.gradient_norm < 1e5 * torch.finfo(dtype).eps


def test_float32_says_that_it_cannot_reach_the_tolerance() -> None:
    result = banded.minimize(lambda x: rosenbrock(x) + 1e4, torch.zeros(10))
    assert result.status is Status.PRECISION
    assert result.success
    assert "float64" in result.status.value
    assert result.iterations < 100


@pytest.mark.parametrize(
    "f",
    [
        lambda x: (x[1:] - x[:-1]).square().sum() - x[0].square() * 5,
        lambda x: -x.exp().sum() + (x[1:] * x[:-1]).sin().sum(),
        lambda x: (x**3).sum(),
    ],
)
def test_a_function_without_a_lower_bound(f: Callable[[Tensor], Tensor]) -> None:
    result = banded.minimize(f, torch.full((6,), -0.5, dtype=torch.float64))
    assert result.status is Status.UNBOUNDED
    assert bool(torch.isfinite(result.x).all())
    assert np.isfinite(result.value)


@pytest.mark.parametrize("globalisation", ["line search", "trust region"])
@pytest.mark.parametrize(
    ("f", "start", "least"),
    [
        (lambda x: x.cos().sum(), torch.zeros(4).double(), -4.0),
        (lambda x: (x[0] ** 2 - 1) ** 2 + x[1] ** 2, torch.zeros(2).double(), 0.0),
        (lambda x: 1e9 * x[0] ** 2 - x[1] ** 2 + x[1] ** 4, torch.zeros(2).double(), -0.25),
        (lambda x: 1e4 * x[0] ** 2 - x[1] ** 2 + x[1] ** 4, torch.zeros(2), -0.25),
        (lambda x: 1e4 + x.cos().sum(), torch.full((5,), 1e-6).double(), 9995.0),
        (lambda x: 100 + x.cos().sum(), torch.full((5,), 1e-3), 95.0),
    ],
)
def test_saddles_and_maxima_are_left(
    f: Callable[[Tensor], Tensor], start: Tensor, least: float, globalisation: str
) -> None:
    result = banded.minimize(f, start, globalisation=globalisation)
    assert result.success
    assert result.value == pytest.approx(least, abs=1e-5)


def test_a_saddle_of_a_function_without_a_lower_bound() -> None:
    for f in (lambda x: x[0] * x[1], lambda x: 1e9 * x[0] ** 2 - x[1] ** 2):
        assert banded.minimize(f, torch.zeros(2).double()).status is Status.UNBOUNDED


def test_a_saddle_that_rounding_errors_hide_is_no_success() -> None:
    result = banded.minimize(lambda x: 1e12 + x[0] ** 2 - 1e-6 * (x[1] ** 2 - x[1] ** 4), torch.zeros(2).double())
    assert result.status is Status.SADDLE
    assert not result.success


def test_a_kink_is_named_from_afar_too() -> None:
    def f(x: Tensor) -> Tensor:
        a, b = x
        pieces = torch.stack([a**2 + 10 * b**2 + a, 5 + 3 * a - b, b**2 + 7 * b])
        return pieces.max() + 0.01 * x.square().sum()

    for scale in (1.0, 1e3, 1e7):
        result = banded.minimize(f, scale * torch.tensor([0.7, 1.1], dtype=torch.float64))
        assert result.status is Status.LINE_SEARCH


def test_a_deep_minimum_is_no_fall_without_limit() -> None:
    result = banded.minimize(lambda x: (1e22 * ((x - 1) ** 2 - 1)).sum(), torch.zeros(2, dtype=torch.float64))
    assert result.status is Status.CONVERGED


def test_converged_at_the_iteration_limit_is_converged() -> None:
    def f(x: Tensor) -> Tensor:
        return (x - 1).square().sum()

    assert banded.minimize(f, torch.zeros(3), max_iterations=1).status is Status.CONVERGED
    assert banded.minimize(f, torch.ones(3), max_iterations=0).status is Status.CONVERGED


def test_functions_that_write_into_their_argument_do_not_reach_the_callers() -> None:
    def f(x: Tensor) -> Tensor:
        value = (x - 1).square().sum()
        with torch.no_grad():
            x.zero_()
        return value

    start = torch.zeros(3, dtype=torch.float64)
    result = banded.minimize(f, start, bandwidth=0)
    assert result.success
    torch.testing.assert_close(result.x, torch.ones(3, dtype=torch.float64))


def test_a_flat_direction_is_no_saddle() -> None:
    result = banded.minimize(lambda x: (x[1:] - x[:-1] - 1).square().sum(), torch.zeros(6, dtype=torch.float64))
    assert result.status is Status.CONVERGED
    torch.testing.assert_close(result.x.diff(), torch.ones(5, dtype=torch.float64))


def test_unknowns_that_f_does_not_use_stay_where_they_are() -> None:
    start = torch.arange(6, dtype=torch.float64)
    result = banded.minimize(lambda x: (x[:3] ** 2).sum(), start)
    assert result.success
    np.testing.assert_allclose(result.x, [0, 0, 0, 3, 4, 5], rtol=0, atol=1e-8)
    assert torch.equal(result.x[3:], start[3:])


def test_a_kink_is_named() -> None:
    def kink(x: Tensor) -> Tensor:
        return x.abs().sum() + 0.01 * x.square().sum()

    result = banded.minimize(kink, torch.full((3,), 0.7, dtype=torch.float64))
    assert result.status is Status.LINE_SEARCH
    assert "kink" in result.status.value
    assert result.value < kink(torch.full((3,), 0.7)).item()


WAY = torch.from_numpy(np.random.default_rng(0).standard_normal((40, 2)))


@pytest.mark.parametrize(
    "f",
    [
        lambda x: (x - WAY).square().sum() + 10 * x.relu().sum(),
        lambda x: (x - WAY).abs().sum() + (x[1:] - x[:-1]).square().sum(),
        lambda x: (x - WAY).square().sum() + 10 * (x[1:] - x[:-1]).abs().sum(),
    ],
)
def test_a_minimum_in_a_kink_is_no_success(f: Callable[[Tensor], Tensor]) -> None:
    result = banded.minimize(f, WAY.clone())
    assert result.status is Status.LINE_SEARCH
    assert not result.success
    assert result.iterations < 500


def test_steps_are_shortened_where_f_is_not_defined() -> None:
    """-log(x) + 100 x from 1: the full Newton step leaves the domain."""
    result = banded.minimize(lambda x: (100 * x - x.log()).sum(), torch.ones(4, dtype=torch.float64))
    assert result.status is Status.CONVERGED
    np.testing.assert_allclose(result.x, 0.01, rtol=1e-9)
    assert any(record.step < 1 for record in result.history[1:])


def test_a_derivative_that_becomes_nan_ends_at_the_last_good_point() -> None:
    """The derivative of sqrt(0) · 0 is NaN from 0.5 down: steps are shortened as long as that helps."""

    def f(x: Tensor) -> Tensor:
        return x.square().sum() + 0 * torch.where(x > 0.5, x - 0.5, 0 * x).sqrt().sum()

    result = banded.minimize(f, torch.ones(3, dtype=torch.float64))
    assert result.status is Status.NON_FINITE
    assert bool((result.x > 0.5).all())
    assert result.value == pytest.approx(0.75, abs=1e-4)
    assert "last good point" in result.status.value


def test_interrupt_returns_the_best_point_so_far() -> None:
    calls = 0

    def f(x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 60:
            signal.raise_signal(signal.SIGINT)
        return rosenbrock(x)

    result = banded.minimize(f, torch.zeros(50, dtype=torch.float64), bandwidth=1)
    assert result.status is Status.INTERRUPTED
    assert 0 < result.iterations < 60
    assert result.value == pytest.approx(float(rosenbrock(result.x)), rel=1e-14)
    assert result.value < 49


def test_interrupt_before_there_is_anything_to_return() -> None:
    def f(x: Tensor) -> Tensor:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        banded.minimize(f, torch.zeros(5))


def test_progress_can_be_switched_on_and_off(capsys: pytest.CaptureFixture[str]) -> None:
    x = torch.zeros(5, dtype=torch.float64)
    banded.minimize(rosenbrock, x, progress=False)
    banded.minimize(rosenbrock, x)  # captured output is no terminal
    assert capsys.readouterr().out == ""
    result = banded.minimize(rosenbrock, x, progress=True)
    heading, first, *rows = capsys.readouterr().out.splitlines()
    assert heading.split() == ["iter", "value", "gradient", "step", "shift", "evals", "seconds"]
    assert first.split()[:2] == ["0", "4.00000000e+00"]
    assert len(rows) == result.iterations


def test_results_print_their_status_and_advice() -> None:
    text = str(banded.minimize(rosenbrock, torch.zeros(5, dtype=torch.float64), max_iterations=2))
    assert text.startswith("max iterations: f = ")
    assert text.endswith(Status.MAX_ITERATIONS.value)


def test_results_are_frozen() -> None:
    result = banded.minimize(rosenbrock, torch.zeros(3, dtype=torch.float64))
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.value = 0.0  # type: ignore[misc]


def test_errors_of_the_users_function_pass_through() -> None:
    with pytest.raises(RuntimeError, match="mine"):
        banded.minimize(failing(rosenbrock, 20), torch.zeros(30, dtype=torch.float64), bandwidth=1)


def test_non_finite_at_the_start() -> None:
    with pytest.raises(NonFiniteError, match="expected a finite value, got nan"):
        banded.minimize(lambda x: x.log().sum(), -torch.ones(3))
    with pytest.raises(NonFiniteError, match=r"gradient\[0\] = nan"):
        banded.minimize(lambda x: x.sqrt().sum(), -torch.ones(3))
