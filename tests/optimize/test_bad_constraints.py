"""What constraints and bounds may not be, and runs with constraints that are cut short."""

import signal
from collections.abc import Callable
from math import inf, nan
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import banded
from banded import BandwidthError, NonFiniteError, Status
from kkt import assert_optimal

START = torch.zeros(4, dtype=torch.float64)
WANTED = torch.tensor([1.0, 2, 3, 4], dtype=torch.float64)


def distance(x: Tensor) -> Tensor:
    return (x - WANTED.to(x)).square().sum()


def product(x: Tensor) -> Tensor:
    """Neighbours whose product is one: curved, so that it takes several steps."""
    return x[1:] * x[:-1] - 1


def turning(calls: int, early: Callable[[Tensor], Any], late: Callable[[Tensor], Any]) -> Callable[[Tensor], Any]:
    """A function that becomes another one after so many calls."""
    made = 0

    def function(x: Tensor) -> Any:
        nonlocal made
        made += 1
        return (early if made <= calls else late)(x)

    return function


@pytest.mark.parametrize("name", ["equality", "inequality"])
@pytest.mark.parametrize(
    ("function", "error", "text"),
    [
        (3, TypeError, "expected a function of the unknowns, got int"),
        (lambda x: 1.0, TypeError, "expected a tensor of residuals, got float"),
        (lambda x: None, TypeError, "expected a tensor of residuals, got NoneType"),
        (lambda x: x.detach().numpy(), TypeError, "expected a tensor of residuals, got ndarray"),
        (lambda x: {}, ValueError, "expected a tensor of residuals, got an empty pytree"),
        (lambda x: [x[0], None], TypeError, r"\[1\]: expected a tensor of residuals, got NoneType"),
        (lambda x: x[:0], ValueError, "at least one residual, got an empty tensor"),
        (lambda x: {"a": x[:0], "b": x}, ValueError, r"\['a'\]: expected at least one residual"),
        (lambda x: x.long(), ValueError, "real residuals on cpu.*int64"),
        (lambda x: x > 0, ValueError, "real residuals on cpu.*bool"),
        (lambda x: x.to(torch.complex128), ValueError, "real residuals on cpu.*complex128"),
        (lambda x: x.to("meta"), ValueError, "meta"),
        (lambda x: x.float(), TypeError, "expected float64 like x, got float32"),
        (lambda x: torch.ones(2, dtype=x.dtype), ValueError, "residuals that depend on x"),
        (lambda x: torch.ones(2, dtype=x.dtype, requires_grad=True) ** 2, ValueError, "residuals that depend on x"),
        (lambda x: x.detach() ** 2, ValueError, "residuals that depend on x"),
        (lambda x: x.log(), NonFiniteError, r"finite residuals at the start, got -inf at index \(0,\)"),
        (lambda x: (x - 1).sqrt(), NonFiniteError, r"finite residuals at the start, got nan at index \(0,\)"),
        (lambda x: torch.stack([x[0], 1 / x[1]]), NonFiniteError, r"got inf at index \(1,\)"),
        (lambda x, y: x, TypeError, "'y'"),
    ],
)
def test_bad_functions(name: str, function: Any, error: type[Exception], text: str) -> None:
    options: dict[str, Any] = {name: function}
    with pytest.raises(error, match=text) as caught:
        banded.minimize(distance, START, **options)
    assert name in str(caught.value) or error is TypeError


def test_derivatives_of_constraints_that_are_not_finite_are_not_blamed_on_f() -> None:
    with pytest.raises(
        NonFiniteError, match=r"constraints: expected finite derivatives at the start, got -?inf for x\[0\]"
    ):
        banded.minimize(distance, START, equality=lambda x: x[:1].sqrt() - 1)


@pytest.mark.parametrize(
    ("late", "text"),
    [
        (lambda x: product(x)[:2], r"as many residuals as at the start, \[\(3,\)\], got \[\(2,\)\]"),
        (lambda x: {"a": product(x)}, "as many residuals as at the start"),
        (lambda x: 3.0, r"got \[None\]"),
    ],
)
def test_constraints_that_change_their_shape(late: Callable[[Tensor], Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        banded.minimize(distance, START + 0.5, equality=turning(12, product, late))


def test_constraints_that_raise_later_hand_out_the_best_point_so_far() -> None:
    def late(x: Tensor) -> Tensor:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        banded.minimize(distance, START + 0.5, equality=turning(30, product, late), bandwidth=1)
    result = caught.value.result  # type: ignore[attr-defined]
    assert result.status is Status.INTERRUPTED
    assert result.iterations > 0
    assert result.value == pytest.approx(float(distance(result.x)))


def test_constraints_that_are_not_finite_on_the_way_shorten_the_step() -> None:
    """The full step leads to x = 3, where the logarithm is NaN; no point that is handed out is there."""
    seen: list[Tensor] = []

    def c(x: Tensor) -> Tensor:
        return (1.2 - x[:1]).log() + x[1:2] - 1

    def f(x: Tensor) -> Tensor:
        return (x - 3).square().sum()

    result = banded.minimize(f, START, equality=c, callback=lambda x, _: seen.append(x))
    assert result.status is Status.CONVERGED
    assert all(float(x[0]) < 1.2 for x in seen)
    assert_optimal(f, result, equality=c)


def test_inequalities_that_are_not_finite_where_they_are_violated() -> None:
    def g(x: Tensor) -> Tensor:
        return (4 - x.square()).sqrt() - 1  # x² <= 3, NaN beyond 4

    result = banded.minimize(distance, START, inequality=g)
    assert result.status is Status.CONVERGED
    np.testing.assert_allclose(result.x, [1, 3**0.5, 3**0.5, 3**0.5], atol=1e-6)


@pytest.mark.parametrize("constrained", [False, True])
def test_functions_that_are_defined_inside_the_bounds_only(constrained: bool) -> None:
    """As the docstring says: f and constraints have to be finite at x0, moved inside the bounds."""
    options: dict[str, Any] = {"inequality": lambda x: x.log() + 1} if constrained else {}
    result = banded.minimize(lambda x: (x - x.log()).sum(), START, bounds=(0.0, None), **options)
    np.testing.assert_allclose(result.x, 1, atol=1e-6)


@pytest.mark.parametrize(
    ("bounds", "error", "text"),
    [
        (0.0, TypeError, r"expected a pair \(lower, upper\), .* got float"),
        (torch.zeros(2, 4), TypeError, r"expected a pair \(lower, upper\), .* got Tensor"),
        ([(0.0, 1.0), (0.0, 2.0), (0.0, 1.0), (0.0, 1.0)], ValueError, r"got 4 entries; tuple\(zip\(\*bounds\)\)"),
        ((torch.zeros(4, requires_grad=True), None), ValueError, r"lower of x: .* needs no gradient"),
        ((1.0,), ValueError, r"expected a pair \(lower, upper\), got 1 entries"),
        ([(0, 1)] * 4, ValueError, r"expected a pair \(lower, upper\), got 4 entries"),
        ((1.0, torch.tensor([2.0, 0, 2, 0])), ValueError, r"lower <= upper, got 1 > 0 for x\[1\] \(2 of 4 unknowns\)"),
        ((torch.zeros(3), None), ValueError, r"lower of x: .* broadcasts to \(4,\), got \(3,\)"),
        ((None, torch.zeros(4, 1)), ValueError, r"upper of x: .* broadcasts to \(4,\), got \(4, 1\)"),
        ((nan, None), ValueError, "lower of x: expected numbers, got nan"),
        ((None, torch.tensor([1, 1, nan, 1])), ValueError, "upper of x: expected numbers, got nan"),
        ((inf, None), ValueError, "lower of x: .*-inf for no bound, got inf"),
        ((None, torch.tensor([1, -inf, 1, 1])), ValueError, "upper of x: .*inf for no bound, got -inf"),
        (("low", None), TypeError, "lower of x: expected a number or a tensor, got str"),
        ((1j, None), TypeError, "lower of x: expected a number or a tensor, got complex"),
        (({"x": 0.0}, None), TypeError, "lower of x: expected a number or a tensor, got dict"),
    ],
)
def test_bad_bounds(bounds: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=f"bounds: .*{text}|bounds: {text}"):
        banded.minimize(distance, START, bounds=bounds)


@pytest.mark.parametrize(
    ("lower", "text"),
    [
        ({"b": 1.0}, "lower ones as a pytree like the unknowns, with the leaves a"),
        ({"a": 1.0, "b": 1.0}, "lower ones as a pytree like the unknowns"),
        ({}, "lower ones as a pytree like the unknowns"),
        ([1.0], "lower ones as a pytree like the unknowns"),
        ({"a": torch.tensor([2.0, 0, 5, 2])}, r"got 5 > 4.5 for x\.a\[2\]"),
        ({"a": torch.zeros(5)}, r"lower of a: .* broadcasts to \(4,\), got \(5,\)"),
    ],
)
def test_bad_bounds_of_trees(lower: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        banded.minimize(lambda x: distance(x["a"]), {"a": START}, bounds=(lower, {"a": 4.5}))


@pytest.mark.parametrize(
    ("start", "error", "text"),
    [
        (START.long(), TypeError, "float32 or float64, got int64"),
        ([0.0, 0.0], TypeError, "list of numbers"),
        (START[:0], ValueError, "at least one unknown"),
        (START + nan, NonFiniteError, "nan"),
    ],
)
def test_bad_starts(start: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        banded.minimize(distance, start, bounds=(0.0, 1.0))


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"globalisation": "trust region"}, ValueError, "globalisation: expected none of your own .* constraints"),
        ({"globalisation": banded.LineSearch(memory=3)}, ValueError, "globalisation: expected none of your own"),
        ({"method": "symmetric"}, ValueError, "method: expected 'auto' or 'direct' where there are constraints"),
        ({"bandwidth": -1}, ValueError, "bandwidth: expected 0 <= bandwidth"),
        ({"bandwidth": 4}, ValueError, "bandwidth: expected 0 <= bandwidth <= n - 1 = 3"),
        ({"tolerance": -1.0}, ValueError, "tolerance"),
    ],
)
@pytest.mark.parametrize("given", [{"bounds": (0.0, None)}, {"equality": product}, {"inequality": product}])
def test_what_constraints_do_not_go_with(
    given: dict[str, Any], options: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        banded.minimize(distance, START, **given, **options)


@pytest.mark.parametrize("given", [{"bounds": (0.0, None)}, {"equality": product}])
def test_a_plan_cannot_be_combined_with_constraints(given: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="f: expected a function where there are constraints, got a Plan"):
        banded.minimize(banded.plan(distance, START), START, **given)


def test_a_constraint_that_couples_everything_is_no_band() -> None:
    with pytest.raises(BandwidthError) as caught:
        banded.minimize(distance_to_one, torch.zeros(2100, dtype=torch.float64), equality=lambda x: x.sum()[None] - 1)
    for part in ("equality[0]", "nothing is a band", "s[t + 1] = s[t] + x[t]", "border"):
        assert part in str(caught.value)


def test_the_way_out_of_that() -> None:
    """min |x - 1|² with Σ x = 1: x = 1/n, by a sum that runs along."""
    n = 2100
    start = {"x": torch.zeros(n, dtype=torch.float64), "s": torch.zeros(n, dtype=torch.float64)}

    def c(z: Any) -> Any:
        before = torch.cat([torch.zeros_like(z["s"][:1]), z["s"][:-1]])
        return z["s"] - before - z["x"], z["s"][-1:] - 1

    result = banded.minimize(lambda z: distance_to_one(z["x"]), start, equality=c)
    assert result.status is Status.CONVERGED
    np.testing.assert_allclose(result.x["x"], 1 / n, atol=1e-9)


def distance_to_one(x: Tensor) -> Tensor:
    return (x - 1).square().sum()


@pytest.mark.parametrize("bandwidth", [0, 1])
def test_a_band_that_does_not_hold_the_constraints(bandwidth: int) -> None:
    with pytest.raises(BandwidthError, match=f"couple unknowns at most {bandwidth} apart.*leave bandwidth out"):
        banded.minimize(distance, START, equality=lambda x: x[2:] - x[:-2], bandwidth=bandwidth)


def interrupt(x: Tensor) -> Tensor:
    signal.raise_signal(signal.SIGINT)
    return product(x)


@pytest.mark.parametrize("name", ["equality", "inequality"])
def test_an_interrupt_inside_a_constraint_returns_the_best_point_so_far(name: str) -> None:
    options: dict[str, Any] = {name: turning(30, product, interrupt)}
    result = banded.minimize(distance, START + 2, bandwidth=1, **options)
    assert result.status is Status.INTERRUPTED
    assert result.iterations > 0
    assert result.value == pytest.approx(float(distance(result.x)))


def test_an_interrupt_inside_the_callback() -> None:
    def callback(x: Tensor, record: banded.Record) -> None:
        if record.iteration == 2:
            raise KeyboardInterrupt

    result = banded.minimize(distance, START + 0.5, equality=product, callback=callback)
    assert result.status is Status.INTERRUPTED
    assert result.iterations == 2


def test_a_callback_that_raises_leaves_the_best_point_with_its_error() -> None:
    def callback(x: Tensor, record: banded.Record) -> None:
        if record.iteration == 2:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough") as caught:
        banded.minimize(distance, START + 0.5, equality=product, callback=callback)
    result = caught.value.result  # type: ignore[attr-defined]
    assert result.status is Status.INTERRUPTED
    assert result.value == pytest.approx(float(distance(result.x)))
    assert "no constraints" not in result.explain()
    assert f"largest violation is {result.violation:.3g}" in result.explain()


def test_a_callback_that_stops() -> None:
    result = banded.minimize(distance, START + 0.5, equality=product, callback=lambda x, record: record.iteration == 2)
    assert result.status is Status.STOPPED
    assert result.iterations == 2
    assert result.multipliers is not None


@pytest.mark.parametrize("limit", [0, 3])
def test_few_iterations(limit: int) -> None:
    result = banded.minimize(distance, START + 0.5, equality=product, bounds=(None, 3.0), max_iterations=limit)
    assert result.status is Status.MAX_ITERATIONS
    assert result.iterations == limit
    assert len(result.history) == limit + 1
    assert float(product(result.x).abs().max()) == pytest.approx(result.violation)
    assert float(result.x.max()) <= 3


def test_no_time() -> None:
    result = banded.minimize(distance, START + 0.5, equality=product, bounds=(None, 3.0), max_seconds=0)
    assert result.status is Status.MAX_SECONDS
    assert result.iterations == 0
    assert bool(torch.isfinite(result.x).all())


def test_starts_and_bounds_are_left_as_they_are() -> None:
    start, lower = START + 0.5, torch.full((4,), 0.1, dtype=torch.float64)
    banded.minimize(distance, start, equality=product, bounds=(lower, None))
    assert bool((start == 0.5).all())
    assert bool((lower == 0.1).all())


def test_compiled() -> None:
    options: dict[str, Any] = {"equality": product, "inequality": lambda x: 3 - x[1:], "bounds": (0.0, None)}
    plain = banded.minimize(distance, START + 0.5, **options)
    result = banded.minimize(distance, START + 0.5, compile=True, **options)
    assert result.status is Status.CONVERGED
    np.testing.assert_allclose(result.x, plain.x, atol=1e-7)
    assert_optimal(distance, result, **options)


def test_pairs_for_each_of_two_unknowns_are_not_taken_for_lower_and_upper_bounds() -> None:
    with pytest.raises(ValueError, match=r"what may be one \(low, high\) for each unknown"):
        banded.minimize(lambda x: x.square().sum(), torch.ones(2, dtype=torch.float64), bounds=[(0, 1), (0, 2)])  # type: ignore[call-overload]
