"""Many problems at once, each held against its single solve."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import banded
from banded import NonFiniteError
from oracles import chain, rosenbrock, wells
from single_solves import assert_like_single_solves, starts

GLOBALISATIONS = ["line search", "trust region", banded.LineSearch(wolfe=False, memory=5)]


@pytest.mark.parametrize("globalisation", GLOBALISATIONS)
@pytest.mark.parametrize("f", [rosenbrock, wells, lambda x: (10 * x).cosh().log().sum() + (x**4).sum() + chain(x - 3)])
def test_each_problem_ends_as_if_alone(f: Callable[[Tensor], Tensor], globalisation: Any) -> None:
    x = starts(7)
    results = banded.minimize(f, x, batch_dims=1, globalisation=globalisation)
    assert bool(results.success.all())
    assert_like_single_solves(results, f, x, globalisation=globalisation)
    if f is rosenbrock:
        assert len(set(results.iterations.tolist())) > 1  # they stop at different times


@pytest.mark.parametrize("B", [1, 2, 33, 70])
def test_any_number_of_problems(B: int) -> None:
    x = starts(B, 5)
    results = banded.minimize(rosenbrock, x, batch_dims=1)
    assert len(results) == B
    assert results.x.shape == (B, 5)
    for number in {0, B // 2, B - 1}:
        alone = banded.minimize(rosenbrock, x[number])
        assert results[number].iterations == alone.iterations
        torch.testing.assert_close(results.x[number], alone.x)


def test_two_batch_dimensions_are_counted_row_by_row() -> None:
    x = starts(6, 5).reshape(2, 3, 5)
    targets = torch.arange(6, dtype=torch.float64).reshape(2, 3)
    results = banded.minimize(lambda x, t: (x - t).cosh().log().sum() + chain(x - t), x, args=(targets,), batch_dims=2)
    assert results.x.shape == (2, 3, 5)
    assert len(results) == 6
    torch.testing.assert_close(results.x, targets[..., None].expand(2, 3, 5))
    for number in range(6):
        torch.testing.assert_close(results[number].x, results.x.reshape(6, 5)[number])


def family(x: Tensor, share: Tensor, edge: Tensor) -> Tensor:
    """Of several kinds of problems, what `share` has of each; derivatives are NaN where x is below `edge`."""
    quadratic, cubic, cosine, valley = share
    smooth = quadratic * (x - 1).square().sum() + cubic * (x**3).sum() + cosine * x.cos().sum()
    value: Tensor = smooth + valley * rosenbrock(x) + 0 * torch.where(x > edge, x - edge, 0 * x).sqrt().sum()
    return value


@pytest.mark.parametrize("globalisation", ["line search", "trust region"])
def test_all_sorts_of_problems_side_by_side(globalisation: str) -> None:
    x = torch.tensor([0.3, 1.0, -0.5, 0.0, 0.0, 2.0], dtype=torch.float64)[:, None].repeat(1, 30)
    share = torch.tensor(
        [[1, 0, 0, 0.0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [1, 0, 0, 0]], dtype=torch.float64
    )
    edge = torch.tensor([-1e30] * 5 + [1.5], dtype=torch.float64)
    options: dict[str, Any] = {"globalisation": globalisation, "max_iterations": 45}
    results = banded.minimize(family, x, args=(share, edge), batch_dims=1, bandwidth=1, **options)
    assert [one.name for one in results.status] == [
        "CONVERGED",  # one step
        "CONVERGED",  # at the start
        "UNBOUNDED",
        "CONVERGED",  # from a maximum
        "MAX_ITERATIONS",
        "NON_FINITE",
    ]
    assert results[1].iterations == 0
    assert results[3].value == pytest.approx(-30)
    assert bool((results.x[5] > 1.5).all())
    assert results.success.tolist() == [True, True, False, True, False, False]
    assert_like_single_solves(results, family, x, (share, edge), bandwidth=1, **options)


def test_a_function_that_cannot_be_vectorised_goes_one_by_one() -> None:
    def branching(x: Tensor, w: Tensor) -> Tensor:
        value = rosenbrock(x) + w * chain(x)
        return value + x.square().sum() if float(x[0].detach()) > 0.1 else value + x[0].square() + x[1:].square().sum()

    x, w = starts(4, 6), torch.linspace(0, 2, 4, dtype=torch.float64)
    results = banded.minimize(branching, x, args=(w,), batch_dims=1)
    assert "one by one" in str(banded.plan(branching, x, args=(w,), batch_dims=1))
    assert bool(results.success.all())
    assert_like_single_solves(results, branching, x, (w,))


def test_float32() -> None:
    x = starts(5).float()
    results = banded.minimize(wells, x, batch_dims=1, tolerance=1e-4)
    assert results.x.dtype == torch.float32
    assert bool(results.success.all())
    for one in results.x:
        assert float(torch.func.grad(wells)(one.double()).abs().max()) < 1e-3


def test_nan_at_one_start_names_the_problem() -> None:
    x = torch.ones(4, 3, dtype=torch.float64)
    x[2, 1] = -1
    with pytest.raises(NonFiniteError, match=r"\b2\b"):
        banded.minimize(lambda x: (x - x.log()).sum() + chain(x), x, batch_dims=1)


@pytest.mark.parametrize(
    ("batch_dims", "error"), [(-1, ValueError), (3, ValueError), (1.5, TypeError), ("1", TypeError)]
)
def test_bad_batch_dimensions(batch_dims: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        banded.minimize(chain, starts(2), batch_dims=batch_dims)


def test_starts_are_left_as_they_are() -> None:
    x = starts(4)
    kept = x.clone()
    banded.minimize(wells, x, batch_dims=1)
    assert torch.equal(x, kept)
    assert torch.equal(banded.minimize(wells, x, batch_dims=1).x, banded.minimize(wells, x, batch_dims=1).x)


@pytest.mark.parametrize(("shape", "dims"), [((0, 4), 1), ((2, 0, 4), 2)])
def test_no_problems_at_all(shape: tuple[int, ...], dims: int) -> None:
    with pytest.raises(ValueError, match="x: expected one problem or more, got batch dimensions"):
        banded.minimize(chain, torch.zeros(shape, dtype=torch.float64), batch_dims=dims)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_batches_on_an_accelerator() -> None:
    x = starts(20, 9)
    here = banded.minimize(lambda x: chain(x) + (x - 1).cosh().sum(), x, batch_dims=1)
    there = banded.minimize(lambda x: chain(x) + (x - 1).cosh().sum(), x.cuda(), batch_dims=1)
    assert there.x.is_cuda
    assert bool(there.success.all())
    torch.testing.assert_close(there.x.cpu(), here.x)
