"""Minimising over pytrees."""

from collections import namedtuple
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import Tensor

import banded
from banded import Status
from kkt import assert_optimal
from oracles import rosenbrock

Pair = namedtuple("Pair", "states duration")
NODES = 9


def start(dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    return {
        "states": torch.zeros(NODES, 2, dtype=dtype),
        "controls": torch.zeros(NODES - 1, 1, dtype=dtype),
        "duration": torch.ones((), dtype=dtype),
    }


def effort(x: dict[str, Tensor]) -> Tensor:
    """The duration is that of e to the power of the unknown, which no step can make negative."""
    duration = x["duration"].exp()
    return 0.01 * x["controls"].square().mean() * duration + 0.5 * duration.square() + 1e-3 * x["states"].square().sum()


def defects(x: dict[str, Tensor]) -> Tensor:
    """From rest at 0 to rest at 1, by a force."""
    position, speed = x["states"].unbind(1)
    step = x["duration"].exp() / (NODES - 1)
    moved = position.diff() - step * (speed[1:] + speed[:-1]) / 2
    accelerated = speed.diff() - step * x["controls"][:, 0]
    ends = torch.stack([position[0], speed[0], position[-1] - 1, speed[-1]])
    return torch.cat([moved, accelerated, ends])


def tracking(x: dict[str, Tensor]) -> Tensor:
    return effort(x) + 1000 * defects(x).square().sum()


def assert_same_tree(mine: Any, other: Any) -> None:
    assert torch.utils._pytree.tree_structure(mine) == torch.utils._pytree.tree_structure(other)
    for one, two in zip(torch.utils._pytree.tree_leaves(mine), torch.utils._pytree.tree_leaves(other), strict=True):
        assert (one.shape, one.dtype) == (two.shape, two.dtype)


@pytest.mark.parametrize("method", ["direct", "symmetric", "fourier", "random", "auto"])
def test_a_tree_comes_back_as_a_tree_at_the_minimum(method: str) -> None:
    begin = start()
    kept = {name: leaf.clone() for name, leaf in begin.items()}
    result = banded.minimize(tracking, begin, method=method)
    assert result.status is Status.CONVERGED
    assert_same_tree(result.x, begin)
    assert all(torch.equal(begin[name], kept[name]) for name in begin)
    gradient: Any = torch.func.grad(tracking)(result.x)
    assert max(float(slope.abs().max()) for slope in gradient.values()) <= 1e-8
    assert result.value == pytest.approx(float(tracking(result.x)), rel=1e-14)
    assert banded.minimize(tracking, result.x).iterations == 0


def test_the_minimum_is_that_of_an_independent_optimiser() -> None:
    plan = banded.plan(tracking, start())

    def both(x: np.ndarray) -> tuple[float, np.ndarray]:
        leaf = torch.from_numpy(x.copy()).requires_grad_()
        value = tracking(plan.unflatten(leaf))
        return float(value.detach()), torch.autograd.grad(value, leaf)[0].numpy()

    reference = scipy.optimize.minimize(
        both, plan.flatten(start()).numpy(), jac=True, method="L-BFGS-B", options={"ftol": 0, "gtol": 1e-10}
    )
    result = banded.minimize(plan, start())
    assert result.value == pytest.approx(reference.fun, rel=1e-9)
    np.testing.assert_allclose(plan.flatten(result.x), reference.x, atol=1e-5)


def test_constraints_of_trees() -> None:
    begin = start()
    result = banded.minimize(effort, begin, equality=defects)
    assert result.status is Status.CONVERGED
    assert_same_tree(result.x, begin)
    assert result.violation is not None
    assert result.violation < 1e-8
    assert float(defects(result.x).abs().max()) == pytest.approx(result.violation)
    assert_optimal(effort, result, equality=defects)
    fine = banded.minimize(effort, begin, equality=defects, tolerance=1e-10)
    again = banded.minimize(effort, begin, equality=defects, border=["duration"], tolerance=1e-10)
    assert again.value == pytest.approx(fine.value, rel=1e-10)


def test_named_borders_and_other_trees() -> None:
    def f(x: Any) -> Tensor:
        total: Tensor = (x.states * x.duration[0] - 1).square().sum() + x.duration.square().sum()
        return rosenbrock(x.states) + total

    begin = Pair(torch.zeros(30).double(), torch.ones(2).double())
    result = banded.minimize(f, begin, border=["duration"])
    assert result.success
    assert isinstance(result.x, Pair)
    plain = banded.minimize(
        lambda x: f(Pair(x[:30], x[30:])), torch.cat([begin.states, begin.duration]), border=[30, 31]
    )
    torch.testing.assert_close(torch.cat(list(result.x)), plain.x)
    nested = banded.minimize(lambda t: f(Pair(t[0]["s"], t[1][0])), ({"s": begin.states}, [begin.duration]), border="1")
    assert_same_tree(nested.x, ({"s": begin.states}, [begin.duration]))
    assert nested.value == pytest.approx(result.value, rel=1e-12)


def test_float32_trees() -> None:
    result = banded.minimize(tracking, start(torch.float32), tolerance=1e-4)
    assert result.success
    assert_same_tree(result.x, start(torch.float32))


def test_a_plan_of_a_tree_and_a_start_of_another_kind() -> None:
    plan = banded.plan(tracking, start())
    assert banded.minimize(plan, start()).success
    with pytest.raises(ValueError, match="x: expected the pytree"):
        banded.minimize(plan, start()["states"])
    with pytest.raises(ValueError, match=r"x\.duration: expected"):
        banded.minimize(plan, {**start(), "duration": torch.ones(1).double()})


def test_loops_and_borders_and_shuffled_unknowns_reach_the_minimum() -> None:
    order = torch.randperm(41, generator=torch.Generator().manual_seed(0))

    def f(x: Tensor) -> Tensor:
        z = x[order]
        ring = z[1:]
        return (ring - 0.5 * ring.roll(1) - z[0]).square().sum() + (ring**4).sum() + (z[0] - 1).square()

    result = banded.minimize(f, torch.zeros(41, dtype=torch.float64))
    assert result.status is Status.CONVERGED
    assert float(torch.func.grad(f)(result.x).abs().max()) <= 1e-8
    assert result.iterations < 20


@pytest.mark.parametrize("batch_dims", [0, 1])
def test_numbers_alone_are_a_chain(batch_dims: int) -> None:
    shape = (4,) * batch_dims
    x = {"a": torch.zeros(shape, dtype=torch.float64), "b": torch.ones(shape, dtype=torch.float64)}
    result: Any = banded.minimize(lambda x: (x["a"] - x["b"]).cosh() + (x["b"] - 2) ** 2, x, batch_dims=batch_dims)
    for name in ("a", "b"):
        torch.testing.assert_close(result.x[name], torch.full(shape, 2.0, dtype=torch.float64))
