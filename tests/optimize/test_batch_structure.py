"""Batches of problems with borders, orders and bands of all sorts."""

import pytest
import torch
from torch import Tensor

import banded
from oracles import rosenbrock
from single_solves import assert_like_single_solves, starts


def free_end(x: dict[str, Tensor]) -> Tensor:
    """A path of unknown duration and stiffness."""
    stretch = (x["path"].diff(dim=0) * x["stiffness"].exp()).square().sum() + (x["path"][0] - 1).square().sum()
    return stretch + (x["path"][-1] - x["duration"]).square().sum() + (x["duration"] - 2) ** 2 + x["stiffness"] ** 2


@pytest.mark.parametrize("globalisation", ["line search", "trust region"])
def test_trees_with_borders_and_scalars(globalisation: str) -> None:
    x = {"path": starts(14, 7).reshape(2, 7, 7), "duration": starts(2, 1)[:, 0], "stiffness": starts(2, 1, 1)[:, 0]}
    results = banded.minimize(free_end, x, batch_dims=1, globalisation=globalisation)
    assert bool(results.success.all())
    assert {name: leaf.shape for name, leaf in results.x.items()} == {name: leaf.shape for name, leaf in x.items()}
    assert results[0].x["duration"].shape == ()
    assert_like_single_solves(results, free_end, x, globalisation=globalisation)
    named = banded.minimize(free_end, x, batch_dims=1, border=["duration", "stiffness"])
    torch.testing.assert_close(named.value, results.value, rtol=1e-9, atol=1e-12)


def test_unknowns_in_an_order_of_their_own() -> None:
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    x = starts(5, 12)

    def f(x: Tensor) -> Tensor:
        return rosenbrock(x[order][:-1]) + (x[order][-1] - x.sum() / 10).square() + x[order][-1].square()

    results = banded.minimize(f, x, batch_dims=1)
    assert bool(results.success.all())
    assert_like_single_solves(results, f, x)


def test_bands_that_differ_between_problems() -> None:
    """One problem couples neighbours, one unknowns two apart, most couple none."""
    far = torch.zeros(9, dtype=torch.float64)
    far[7] = 1.0
    near = torch.zeros(9, dtype=torch.float64)
    near[3] = 1.0

    def f(x: Tensor, near: Tensor, far: Tensor) -> Tensor:
        coupled = near * (x[1:] - x[:-1] - 1).square().sum() + far * (x[2:] * x[:-2]).square().sum()
        return (x - 1).square().sum() + coupled

    x = starts(9, 10)
    results = banded.minimize(f, x, args=(near, far), batch_dims=1)
    assert bool(results.success.all())
    assert_like_single_solves(results, f, x, (near, far))


def test_couplings_that_vanish_at_the_start_are_found_in_every_problem() -> None:
    """The Rosenbrock function has none at 0, where problem 0 has none anywhere: alone, points around are tried, too."""
    x, share = torch.zeros(3, 12, dtype=torch.float64), torch.tensor([0.0, 1.0, 1.0], dtype=torch.float64)

    def f(x: Tensor, share: Tensor) -> Tensor:
        return share * rosenbrock(x) + (1 - share) * (x - 1).square().sum()

    assert banded.plan(f, x[1], args=(share[1],)).bandwidth == 1
    assert banded.plan(f, x, args=(share,), batch_dims=1).bandwidth == 1
    results = banded.minimize(f, x, args=(share,), batch_dims=1)
    assert_like_single_solves(results, f, x, (share,))


def along_the_way(x: Tensor, target: Tensor) -> Tensor:
    """The ends repel each other, but only once they have come far from where the start is."""
    pull = (x - target).square().sum() + (x[1:] - x[:-1]).square().sum()
    return pull + (x[0] * x[-1] / 200 - 100).relu().square()


def test_a_band_that_a_problem_outgrows_is_said_not_to_hold() -> None:
    target = torch.tensor([1.0, 200.0, 2.0], dtype=torch.float64)
    results = banded.minimize(
        along_the_way, torch.zeros(3, 30, dtype=torch.float64), args=(target,), batch_dims=1, bandwidth=1
    )
    assert [one.name for one in results.status] == ["CONVERGED", "BANDWIDTH", "CONVERGED"]


def test_a_band_that_was_found_is_found_again_where_a_problem_outgrows_it() -> None:
    """As it is for a problem alone: BANDWIDTH says to leave the bandwidth out, and it was."""
    target = torch.tensor([1.0, 200.0, 2.0], dtype=torch.float64)
    x = torch.zeros(3, 30, dtype=torch.float64)
    results = banded.minimize(along_the_way, x, args=(target,), batch_dims=1)
    for number, one in enumerate(results):
        assert one.status is banded.minimize(along_the_way, x[number], args=(target[number],)).status
