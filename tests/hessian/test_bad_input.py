"""What comes in wrong from outside, and what is said of it."""

from collections import namedtuple
from typing import Any

import pytest
import torch
from torch import Tensor

import banded
from banded import NonFiniteError
from oracles import rosenbrock

Pair = namedtuple("Pair", "states controls")
NINE = torch.zeros(9).double()


@pytest.mark.parametrize(
    ("x", "error", "text"),
    [
        (torch.zeros(3, dtype=torch.int64), TypeError, "x: expected dtype float32 or float64, got int64"),
        (torch.zeros(3, dtype=torch.complex128), TypeError, "got complex128; torch.view_as_real"),
        (torch.zeros(3, dtype=torch.float16), TypeError, "x: expected dtype float32 or float64, got float16"),
        (torch.zeros(0), ValueError, r"x: expected at least one unknown, got an empty tensor of shape \(0,\)"),
        (3.0, TypeError, "x: expected a tensor, got float"),
        (None, TypeError, "x: expected a tensor, got NoneType"),
        ([1.0, 2.0], TypeError, r"x: expected a tensor, .* got a list of numbers; torch\.tensor\(x"),
        ([], ValueError, "expected at least one tensor of unknowns, got an empty pytree"),
        ({"a": {}}, ValueError, "expected at least one tensor of unknowns, got an empty pytree"),
        ({"a": NINE, "b": None}, TypeError, r"x\.b: expected a tensor, got NoneType"),
        ({"a": NINE, "b": {"c": torch.ones(9).long()}}, TypeError, r"x\.b\.c: expected dtype .* got int64"),
        (Pair(NINE, torch.zeros(0, 2)), ValueError, r"x\.controls: expected at least one unknown"),
        ((NINE, torch.zeros(9)), ValueError, r"x\.1: expected torch.float64 on cpu like x\.0, got torch.float32"),
        ((NINE, NINE.to("meta")), ValueError, r"x\.1: expected torch.float64 on cpu .* on meta; convert"),
        ({"a": NINE, "b": NINE[:7]}, ValueError, r"x\.b: expected a first dimension of 9 or 8, the time of x\.a.*"),
        ({"a": NINE[:7], "b": NINE}, ValueError, r"x\.a: expected a first dimension .* border=\['a'\]"),
    ],
)
def test_bad_unknowns(x: Any, error: type[Exception], text: str) -> None:
    for function in (banded.hessian, banded.plan, banded.minimize):
        with pytest.raises(error, match=text):
            function(rosenbrock, x)


@pytest.mark.parametrize(
    ("border", "text"),
    [
        (["durations"], "border: expected names among a, b.0, b.1, got 'durations'"),
        (["b.2"], "got 'b.2'"),
        ([0], "got 0"),
        (["a", "b"], "all of them in the border"),
    ],
)
def test_bad_borders_of_trees(border: Any, text: str) -> None:
    x = {"a": NINE, "b": [NINE, NINE]}
    for function in (banded.hessian, banded.plan, banded.minimize):
        with pytest.raises(ValueError, match=text):
            function(lambda t: rosenbrock(t["a"]), x, border=border)


@pytest.mark.parametrize("border", [[9], [-10], ["a"], [True], list(range(9))])
def test_bad_borders_of_tensors(border: Any) -> None:
    for function in (banded.hessian, banded.plan, banded.minimize):
        with pytest.raises(ValueError, match="border: expected"):
            function(rosenbrock, NINE, border=border)


def test_bad_batches() -> None:
    with pytest.raises(ValueError, match=r"x: expected 2 batch dimensions \(9,\) in front, got shape \(9,\)"):
        banded.plan(rosenbrock, NINE, batch_dims=2)
    trees = {"a": torch.zeros(3, 5), "b": torch.zeros(2, 5)}
    with pytest.raises(ValueError, match=r"x\.b: expected 1 batch dimensions \(3,\) in front, got shape \(2, 5\)"):
        banded.plan(lambda t: rosenbrock(t["a"]), trees, batch_dims=1)


def test_loops_that_meet_themselves() -> None:
    for n, k in ((6, 3), (5, 4), (2, 1)):
        with pytest.raises(ValueError, match=f"periodic: expected 2 bandwidth < n = {n}, got bandwidth {k}"):
            banded.hessian(rosenbrock, torch.zeros(n), bandwidth=k, periodic=True)


@pytest.mark.parametrize(
    ("f", "error", "text"),
    [
        (lambda x: x**2, ValueError, r"f: expected a scalar of shape \(\), got shape \(5,\).*sum"),
        (lambda x: (x**2).sum()[None], ValueError, r"got shape \(1,\)"),
        (lambda x: (x**2).sum().item(), TypeError, "got float; compute the loss with torch"),
        (lambda x: None, TypeError, "got NoneType"),
        (lambda x: (x**2).sum().to(torch.complex128), TypeError, "got complex128"),
        (lambda x: (x**2).sum().long(), TypeError, "got int64"),
        (lambda x: (x**2).sum().to("meta"), ValueError, "expected a value on cpu, where x is, got one on meta"),
        (lambda x: (2 * x).sum(), ValueError, "linear"),
        (lambda x: 0 * x.sum() + 1, ValueError, "constant"),
        (lambda x: torch.ones(()), ValueError, "depends on x"),
    ],
)
def test_bad_functions(f: Any, error: type[Exception], text: str) -> None:
    for function in (banded.hessian, banded.plan, banded.minimize):
        with pytest.raises(error, match=text):
            function(f, torch.ones(5, dtype=torch.float64))


def test_constants_on_another_device_are_pytorchs_error() -> None:
    other = torch.ones(5, device="meta")
    with pytest.raises(RuntimeError, match="meta"):
        banded.hessian(lambda x: (x * other).square().sum(), torch.ones(5))


def test_nan_names_the_first_bad_entry_of_the_gradient() -> None:
    def f(x: Tensor) -> Tensor:
        return (x - 1).sqrt().sum()

    x = torch.tensor([2.0, 3.0, 0.5, 1.0], dtype=torch.float64)
    for function in (banded.hessian, banded.plan, banded.minimize):
        with pytest.raises(NonFiniteError, match=r"gradient\[2\] = nan \(2 of 4 entries"):
            function(f, x)
    with pytest.raises(NonFiniteError, match=r"gradient\[\(1, 0\)\] = nan"):
        banded.hessian(f, x.reshape(2, 2))
    with pytest.raises(NonFiniteError, match="got inf"):
        banded.hessian(lambda x: x.square().sum() + float("inf"), x)


@pytest.mark.parametrize(
    ("bandwidth", "error", "text"),
    [
        (-1, ValueError, "0 <= bandwidth <= n - 1 = 4 for n = 5 unknowns, got -1"),
        (5, ValueError, "got 5"),
        (1.5, TypeError, "whole number.*1.5"),
        (True, TypeError, "whole number"),
    ],
)
def test_bad_bandwidths(bandwidth: int, error: type[Exception], text: str) -> None:
    for function in (banded.hessian, banded.plan, banded.minimize):
        with pytest.raises(error, match=text):
            function(rosenbrock, torch.ones(5, dtype=torch.float64), bandwidth=bandwidth)


def test_second_derivatives_that_are_not_finite() -> None:
    """The length of a path whose points coincide."""
    for function in (banded.hessian, banded.plan, banded.minimize):
        with pytest.raises(NonFiniteError, match=r"second derivatives, got nan in row 0 .*sqrt, norm"):
            function(lambda x: x.square().sum() + x.diff(dim=0).norm(dim=1).sum(), torch.zeros(40, 2).double())


def test_no_functions() -> None:
    x = torch.ones(5)
    functions: list[Any] = [banded.hessian, banded.plan, banded.minimize]
    for function in functions:
        with pytest.raises(TypeError, match="f: expected a function of the unknowns, got Tensor"):
            function(x, rosenbrock)


def test_unknown_method() -> None:
    with pytest.raises(ValueError, match="one of 'direct', 'symmetric', 'fourier', 'random', 'auto', got 'fourrier'"):
        banded.hessian(rosenbrock, torch.ones(5), method="fourrier")
