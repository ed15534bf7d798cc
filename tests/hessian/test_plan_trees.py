"""Pytrees as unknowns."""

from collections import OrderedDict, namedtuple
from collections.abc import Callable
from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import banded
import oracles
from banded import Bordered, Reordered

METHODS = ["direct", "symmetric", "fourier", "random", "auto"]
Trajectory = namedtuple("Trajectory", "states controls duration")
Function = Callable[[Any], Tensor]


def trajectory(x: dict[str, Any]) -> Tensor:
    """Two states, one control, a free duration."""
    states, controls, duration = x["states"], x["controls"], x["duration"]
    position, speed = states.unbind(-1)
    step = duration / len(controls)
    defects = torch.stack([position.diff() - step * speed[:-1].sin(), speed.diff() - step * controls[:, 0]])
    cost: Tensor = 10 * defects.square().sum() + controls.square().sum() + duration**2 + (states**4).sum()
    return cost


def start(nodes: int = 20, seed: int = 0, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes: dict[str, tuple[int, ...]] = {"states": (nodes, 2), "controls": (nodes - 1, 1), "duration": ()}
    return {name: torch.randn(shape, generator=generator, dtype=dtype) for name, shape in shapes.items()}


def check(plan: banded.Plan, f: Function, x: Any, tolerance: float = 1e-10) -> None:
    """Value, gradient and Hessian against PyTorch's, over the leaves one after the other."""
    leaves = torch.utils._pytree.tree_leaves(x)
    vector = torch.cat([leaf.reshape(-1) for leaf in leaves])
    assert torch.equal(plan.flatten(x), vector)
    value, gradient, H = plan(x, check=True)
    torch.testing.assert_close(value, f(x))
    torch.testing.assert_close(plan.value(x), f(x))
    dense: Any = torch.autograd.functional.hessian(lambda v: f(plan.unflatten(v)), vector)  # type: ignore[no-untyped-call]
    scale = float(dense.abs().max())
    torch.testing.assert_close(H.to_dense(), dense, rtol=tolerance, atol=tolerance * scale)
    torch.testing.assert_close(H @ vector, dense @ vector, rtol=tolerance, atol=10 * tolerance * scale)
    slopes: Any = torch.func.grad(f)(x)
    assert torch.utils._pytree.tree_structure(gradient) == torch.utils._pytree.tree_structure(x)
    for mine, other in zip(
        torch.utils._pytree.tree_leaves(gradient), torch.utils._pytree.tree_leaves(slopes), strict=True
    ):
        torch.testing.assert_close(mine, other)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_states_controls_and_a_duration(method: str, dtype: torch.dtype) -> None:
    plan = banded.plan(trajectory, start(dtype=dtype), method=method)
    assert (plan.n, plan.border) == (60, 1)
    assert plan.bandwidth <= 5
    check(plan, trajectory, start(seed=1, dtype=dtype), 1e-10 if dtype == torch.float64 else 1e-4)
    assert isinstance(plan(start(dtype=dtype))[2], Reordered)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("seed", range(8))
def test_dynamics_of_all_kinds(seed: int, dtype: torch.dtype) -> None:
    """Dense and sparse ones, from 1 to 5 states, also with entries that are small."""
    rng = np.random.default_rng(seed)
    nodes, nx, nu = int(rng.integers(2, 25)), int(rng.integers(1, 6)), int(rng.integers(1, 3))
    A = torch.from_numpy(rng.standard_normal((nx, nx)) * (rng.random((nx, nx)) < 0.6)).to(dtype)
    B = torch.from_numpy(rng.standard_normal((nx, nu))).to(dtype)

    def f(x: dict[str, Tensor]) -> Tensor:
        s, u = x["s"], x["u"]
        defects = s[1:] - s[:-1] - 0.1 * (s[:-1].sin() @ A.T + u @ B.T)
        return defects.square().sum() + u.square().sum() + (s[:, 0] ** 4).sum()

    def point(order: str) -> dict[str, Tensor]:
        shapes = {"s": (nodes, nx), "u": (nodes - 1, nu)}
        return {name: torch.from_numpy(rng.standard_normal(shapes[name])).to(dtype) for name in order}

    for order in ("su", "us"):
        plan = banded.plan(f, point(order))
        check(plan, f, point(order), 1e-10 if dtype == torch.float64 else 1e-4)


def narrowest(f: Function, x: dict[str, Tensor]) -> int:
    """The smallest half-bandwidth over all orders of the columns within a node, by trying them all on the dense H."""
    leaves = list(x.values())
    vector = torch.cat([leaf.reshape(-1) for leaf in leaves])
    ends = np.cumsum([leaf.numel() for leaf in leaves])[:-1].tolist()

    def of_vector(v: Tensor) -> Tensor:
        parts = v.tensor_split(ends)
        return f({name: part.reshape(x[name].shape) for name, part in zip(x, parts, strict=True)})

    dense: Any = torch.autograd.functional.hessian(of_vector, vector)  # type: ignore[no-untyped-call]
    columns = [
        (torch.arange(leaf.numel()).reshape(leaf.shape)[:, i] + start).tolist()
        for leaf, start in zip(leaves, [0, *ends], strict=True)
        for i in range(leaf.shape[1])
    ]
    best = len(vector)
    for order in permutations(columns):
        numbers = [column[t] for t in range(len(columns[0])) for column in order if t < len(column)]
        best = min(best, oracles.bandwidth(dense.numpy()[np.ix_(numbers, numbers)]))
    return best


@pytest.mark.parametrize("seed", range(10))
def test_the_order_within_a_node_is_the_best_there_is(seed: int) -> None:
    """Random couplings of two to five columns of two leaves, to the next node or the one after."""
    rng = np.random.default_rng(seed)
    width = int(rng.integers(2, 6))
    split = int(rng.integers(1, width))
    pairs = [(*rng.integers(width, size=2), int(rng.integers(0, 3))) for _ in range(int(rng.integers(2, 6)))]

    def f(x: dict[str, Tensor]) -> Tensor:
        every = torch.cat([x["b"], x["a"]], 1)
        total = (every**4).sum()
        for first, second, apart in pairs:
            total = total + (every[: len(every) - apart, first] * every[apart:, second]).sin().sum()
        return total

    x = {name: torch.from_numpy(rng.standard_normal((9, w))) for name, w in (("a", width - split), ("b", split))}
    plan = banded.plan(f, x)
    assert plan.bandwidth <= narrowest(f, x)
    check(plan, f, {name: leaf + 1 for name, leaf in x.items()})


def test_wide_nodes_are_put_in_order_too() -> None:
    """Twelve columns, of which only the first and the last couple from node to node: 12 + 11 as they come."""

    def f(x: dict[str, Tensor]) -> Tensor:
        total = (x["a"][1:, 0] * x["b"][:-1, 5]).sum() + (x["b"][1:, 0] * x["a"][:-1, 5]).sum()
        return total + (x["a"] ** 4).sum() + (x["b"] ** 4).sum()

    x = {"a": torch.randn(40, 6).double(), "b": torch.randn(40, 6).double()}
    plan = banded.plan(f, x)
    assert plan.bandwidth <= 12
    check(plan, f, x)


def test_trees_of_all_kinds() -> None:
    x = start()
    pairs: list[tuple[Any, Function]] = [
        (Trajectory(**x), lambda t: trajectory(t._asdict())),
        (tuple(x.values()), lambda t: trajectory(dict(zip(x, t, strict=True)))),
        (list(x.values()), lambda t: trajectory(dict(zip(x, t, strict=True)))),
        (OrderedDict(x), trajectory),
        (
            {"path": {"states": x["states"]}, "rest": [x["controls"], (x["duration"],)]},
            lambda t: trajectory(
                {"states": t["path"]["states"], "controls": t["rest"][0], "duration": t["rest"][1][0]}
            ),
        ),
    ]
    for tree, f in pairs:
        plan = banded.plan(f, tree)
        assert plan.border == 1
        check(plan, f, tree)
        assert torch.equal(banded.hessian(f, tree).to_dense(), plan(tree)[2].to_dense())


def test_borders_by_name_and_position() -> None:
    def f(x: dict[str, Any]) -> Tensor:
        weights = x["model"]["w"]
        shown: Tensor = (weights[0] * x["path"]["states"].cos() + weights[1]).square().sum()
        return trajectory(x["path"]) + shown

    x: dict[str, Any] = {"path": start(), "model": {"w": torch.randn(2, 1).double(), "unused": torch.ones(4).double()}}
    for border in (["model"], ["model.w", "model.unused"], "model"):
        plan = banded.plan(f, x, border=border)
        assert plan.border == 7
        check(plan, f, x)
    pair = (x["path"]["states"], torch.randn(3).double())

    def g(x: tuple[Tensor, Tensor]) -> Tensor:
        return (x[0][1:] * x[0][:-1]).sin().sum() + (x[1][:, None, None] * x[0]).square().sum()

    plan = banded.plan(g, pair, border=[1])
    assert plan.border == 3
    check(plan, g, pair)
    H = plan(pair)[2]
    assert isinstance(H, Bordered)


def test_a_border_that_was_not_named_is_found() -> None:
    """A column of the states that is the same mean for all is no border; one unknown that all couple to is."""

    def f(x: dict[str, Tensor]) -> Tensor:
        return (x["a"][1:] * x["a"][:-1]).sin().sum() + (x["a"] * x["b"][7, 0]).cos().sum() + x["b"].square().sum()

    x = {"a": torch.randn(60, 1).double(), "b": torch.randn(60, 1).double()}
    plan = banded.plan(f, x)
    assert plan.border == 1
    assert plan.order is not None
    assert plan.order[-1] == 60 + 7
    check(plan, f, x)


def test_loops_of_trees() -> None:
    def f(x: dict[str, Tensor]) -> Tensor:
        return (x["p"] - x["p"].roll(1, 0) - x["u"]).square().sum() + x["u"].square().sum() + (x["p"] ** 4).sum()

    x = {"p": torch.randn(50, 2).double(), "u": torch.randn(50, 2).double()}
    plan = banded.plan(f, x)
    assert plan.periodic
    check(plan, f, {name: leaf + 1 for name, leaf in x.items()})
    given = banded.plan(f, x, bandwidth=plan.bandwidth, periodic=True)
    check(given, f, x)


def test_the_smallest_trees() -> None:
    one = torch.tensor(0.7, dtype=torch.float64)
    cases: list[tuple[Any, Function]] = [
        ([one], lambda t: t[0] ** 4),
        ({"a": one[None]}, lambda t: (t["a"] ** 4).sum()),
        ({"a": one[None], "d": one}, lambda t: (t["a"] * t["d"]).sum().sin()),
        ([one[None, None], one[None]], lambda t: (t[0] * t[1]).sum().sin()),
        ([one.expand(2, 1), one.expand(1, 2)], lambda t: (t[0].sum() * t[1]).sin().sum()),
        ([one.expand(2), one, one], lambda t: t[0].prod() * t[1].sin() + t[2] ** 2 * t[1]),
    ]
    for x, f in cases:
        for method in METHODS:
            check(banded.plan(f, x, method=method), f, x)


def test_keys_may_come_in_any_order() -> None:
    plan = banded.plan(trajectory, start())
    x = start()
    value, gradient, H = plan(dict(reversed(x.items())))
    assert torch.equal(value, plan(x)[0])
    assert torch.equal(H.band, plan(x)[2].band)
    for name, leaf in plan(x)[1].items():
        assert torch.equal(gradient[name], leaf)


def test_a_tree_is_held_to_what_the_plan_was_made_for() -> None:
    x = start()
    plan = banded.plan(trajectory, x)
    wrong: list[tuple[Any, str]] = [
        (x["states"], r"x: expected the pytree \{'states': \*, .*\}, got \*; make another plan"),
        ({"states": x["states"], "controls": x["controls"]}, "expected the pytree"),
        ({**x, "more": x["duration"]}, "expected the pytree"),
        ({**x, "duration": 1.0}, r"x\.duration: expected \(\), torch.float64, cpu, .* got 1.0"),
        ({**x, "duration": x["duration"].float()}, r"x\.duration: .* got \(\), torch.float32, cpu"),
        ({**x, "states": x["states"][:-1]}, r"x\.states: expected \(20, 2\), .* got \(19, 2\)"),
        ({**x, "states": x["states"].to("meta")}, r"x\.states: .* got \(20, 2\), torch.float64, meta"),
    ]
    for point, text in wrong:
        for call in (plan, plan.value, plan.compressed, plan.flatten, lambda x: banded.verify(plan, x)):
            with pytest.raises(ValueError, match=text):
                call(point)
    assert str(plan).startswith("Plan for 60 unknowns, half-bandwidth")
