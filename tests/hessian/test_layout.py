"""Where unknowns lie, against lists written by hand; and what is refused."""

import pickle
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from banded.hessian.layout import Layout, flat, layout


class Motion(NamedTuple):
    states: Tensor
    controls: Tensor


def numbered(**shapes: tuple[int, ...]) -> dict[str, Tensor]:
    """Leaves whose unknowns hold their own numbers."""
    leaves, start = {}, 0
    for name, shape in shapes.items():
        size = int(np.prod(shape))
        leaves[name] = torch.arange(start, start + size, dtype=torch.float64).reshape(shape)
        start += size
    return leaves


def by_node(tree: Any, border: Any = None, batch_dims: int = 0) -> list[int] | None:
    order = layout(tree, border, batch_dims).by_node()
    return None if order is None else order.tolist()


@pytest.mark.parametrize("shape", [(), (1,), (6,), (3, 2), (3, 2, 2)])
def test_the_unknowns_of_a_tensor_keep_their_order(shape: tuple[int, ...]) -> None:
    x = torch.arange(int(np.prod(shape)), dtype=torch.float64).reshape(shape)
    where = layout(x, None, 0)
    assert (where.n, where.names, where.is_tensor) == (x.numel(), ("x",), True)
    assert where.width == int(np.prod(shape[1:]))
    assert where.flatten(x).tolist() == list(range(x.numel()))
    assert torch.equal(where.unflatten(where.flatten(x)), x)
    assert where.by_node() is None
    assert where.border == ()


def test_unknowns_of_a_tree_by_node() -> None:
    #       x: node 0 has 0, 1; node 1 has 2, 3; node 2 has 4, 5;  y: 6, 7, 8
    tree = numbered(x=(3, 2), y=(3,))
    where = layout(tree, None, 0)
    assert (where.n, where.width, where.names, where.is_tensor) == (9, 3, ("x", "y"), False)
    assert by_node(tree) == [0, 1, 6, 2, 3, 7, 4, 5, 8]
    reordered = where.by_node([2, 0, 1])
    assert reordered is not None
    assert reordered.tolist() == [6, 0, 1, 7, 2, 3, 8, 4, 5]


def test_leaves_may_be_shorter_by_one() -> None:
    """States at all nodes, controls between them."""
    assert by_node(numbered(x=(3, 2), u=(2, 1))) == [0, 1, 6, 2, 3, 7, 4, 5]
    assert by_node(numbered(u=(2, 1), x=(3, 2))) == [0, 2, 3, 1, 4, 5, 6, 7]
    assert by_node(numbered(u=(1,), x=(2,))) is None
    assert by_node(numbered(x=(2,), u=(1,))) == [0, 2, 1]


def test_scalars_go_to_the_border() -> None:
    tree = numbered(a=(2,), T=(), b=(2,))
    where = layout(tree, None, 0)
    assert where.border == (2,)
    assert where.width == 2
    assert by_node(tree) == [0, 3, 1, 4, 2]


def test_a_single_scalar_is_the_chain() -> None:
    where = layout({"T": torch.zeros(())}, None, 0)
    assert (where.n, where.width, where.border, where.by_node()) == (1, 1, (), None)


def test_an_order_that_is_there_anyway_is_none() -> None:
    assert by_node({"x": torch.zeros(4, 3)}) is None
    assert by_node(numbered(x=(1, 2), y=(1, 3))) is None
    assert by_node(numbered(x=(4,), T=())) is None
    assert by_node(torch.zeros(5), [4]) is None
    assert by_node(torch.zeros(5), [3]) == [0, 1, 2, 4, 3]


def test_names() -> None:
    tree = {
        "car": {"x": torch.zeros(4), "v": [torch.zeros(4, 2), torch.zeros(3)]},
        "motion": Motion(*torch.zeros(2, 4)),
    }
    assert layout(tree, None, 0).names == ("car.x", "car.v.0", "car.v.1", "motion.states", "motion.controls")
    assert layout((torch.zeros(3), [torch.zeros(3)]), None, 0).names == ("0", "1.0")
    assert layout({7: torch.zeros(3)}, None, 0).names == ("7",)


NESTED = {
    "model": {"a": torch.zeros(2), "b": torch.zeros(())},
    "models": torch.zeros(4),
    "x": (torch.zeros(5), torch.zeros(5, 2)),
}


@pytest.mark.parametrize(
    ("border", "expected"),
    [
        (["model"], range(3)),  # all that is below, and nothing that begins alike
        ("model", range(3)),
        (["model.a"], range(3)),  # and the scalar beside it
        (["model", "model.b"], range(3)),
        (["models", "model"], range(7)),
    ],
)
def test_borders_by_name(border: Any, expected: range) -> None:
    tree = NESTED if "models" in border else {**NESTED, "models": torch.zeros(4)}
    assert layout(tree, border, 0).border == tuple(expected)


def test_borders_by_position() -> None:
    pair = (torch.zeros(3), torch.zeros(5), torch.zeros(5, 2))
    assert layout(pair, [0], 0).border == (0, 1, 2)
    assert layout(pair, ["0", 2], 0).border == (0, 1, 2, *range(8, 18))
    assert layout((pair, torch.zeros(4)), [1, "0.0"], 0).border == (0, 1, 2, 18, 19, 20, 21)
    assert layout(Motion(torch.zeros(5), torch.zeros(2)), ["controls"], 0).border == (5, 6)


@pytest.mark.parametrize(
    ("border", "expected"),
    [
        ([0], (0,)),
        (3, (3,)),
        ([-1], (5,)),
        ([5, -1, 5], (5,)),
        ([4, 1], (1, 4)),
        ([], ()),
        (np.array([2, 4]), (2, 4)),
        (torch.tensor([2, 4, 4]), (2, 4)),
        ((np.int64(1), torch.tensor(1)), (1,)),
    ],
)
def test_borders_by_number(border: Any, expected: tuple[int, ...]) -> None:
    where = layout(torch.zeros(3, 2), border, 0)
    assert where.border == expected
    assert all(type(number) is int for number in where.border)


def test_the_border_comes_last() -> None:
    tree = numbered(p=(2,), x=(3,), y=(3,))
    assert by_node(tree, ["p"]) == [2, 5, 3, 6, 4, 7, 0, 1]
    assert layout(tree, ["p"], 0).width == 2
    assert by_node(torch.zeros(3, 2), [0, 3]) == [1, 2, 4, 5, 0, 3]
    assert layout(torch.zeros(3, 2), [0, 3], 0).width == 2


def test_a_border_need_not_run_along_time() -> None:
    assert layout(numbered(p=(100, 3), x=(4,)), ["p"], 0).border == tuple(range(300))
    assert layout(numbered(p=(100, 3), x=(4,)), ["p"], 0).width == 1


def test_batches() -> None:
    tree = {"x": torch.randn(2, 3, 4, 2), "u": torch.randn(2, 3, 3), "T": torch.randn(2, 3)}
    where = layout(tree, None, 2)
    assert (where.batch, where.n, where.border) == ((2, 3), 12, (11,))
    vector = where.flatten(tree)
    assert vector.shape == (2, 3, 12)
    for b in np.ndindex(2, 3):
        assert vector[b].tolist() == [*tree["x"][b].flatten().tolist(), *tree["u"][b].tolist(), float(tree["T"][b])]
    back = where.unflatten(vector)
    assert all(torch.equal(back[name], tree[name]) for name in tree)
    one = where.unflatten(vector[0, 1])
    assert all(torch.equal(one[name], tree[name][0, 1]) for name in tree)
    more = where.unflatten(vector.expand(5, 2, 3, 12))
    assert more["x"].shape == (5, 2, 3, 4, 2)
    assert layout(torch.zeros(2, 3), None, 2).n == 1


Shapes = st.sampled_from([(5,), (5, 2), (4,), (4, 3), (5, 1, 2), ()])
Names = st.text("abc.", min_size=1)
Trees = st.recursive(
    Shapes,
    lambda one: st.lists(one, min_size=1, max_size=3) | st.dictionaries(Names, one, min_size=1, max_size=3),
    max_leaves=6,
)


@settings(deadline=None)
@given(Trees, st.integers(0, 2**31), st.sampled_from([torch.float32, torch.float64]), st.sampled_from([(), (2,)]))
def test_trees_come_back_as_they_were(shapes: Any, seed: int, dtype: torch.dtype, batch: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(seed)

    def grown(shape: Any) -> Any:
        if isinstance(shape, tuple):
            return torch.randn((*batch, *shape), generator=generator, dtype=dtype)
        return {key: grown(one) for key, one in shape.items()} if isinstance(shape, dict) else list(map(grown, shape))

    tree = grown(shapes)
    leaves = torch.utils._pytree.tree_leaves(tree)
    assume(len(leaves) == 1 or any(leaf.ndim > len(batch) for leaf in leaves))  # else there is nothing but a border
    where = layout(tree, None, len(batch))
    vector = where.flatten(tree)
    assert vector.shape == (*batch, where.n)
    for back, leaf in zip(torch.utils._pytree.tree_leaves(where.unflatten(vector)), leaves, strict=True):
        assert torch.equal(back, leaf)
    assert torch.equal(where.flatten(where.unflatten(vector)), vector)
    order = where.by_node()
    if order is not None:
        assert sorted(order.tolist()) == list(range(where.n))
    again = pickle.loads(pickle.dumps(where))
    assert torch.equal(again.flatten(tree), vector)


def test_leaves_of_a_vector_are_views_of_it() -> None:
    where = layout(numbered(x=(3, 2), y=(2,)), None, 0)
    vector = torch.zeros(8, dtype=torch.float64)
    where.unflatten(vector)["y"][1] = 5.0
    assert vector.tolist() == [0, 0, 0, 0, 0, 0, 0, 5]


def test_types_of_trees_are_kept() -> None:
    motion = Motion(torch.zeros(3, 2), torch.zeros(2))
    where = layout(motion, None, 0)
    assert type(where.unflatten(where.flatten(motion))) is Motion
    assert by_node(motion) == [0, 1, 6, 2, 3, 7, 4, 5]


@pytest.mark.parametrize("tree", [torch.zeros(3, 2), NESTED, Motion(torch.zeros(3), torch.zeros(3))])
def test_layouts_are_pickled(tree: Any) -> None:
    where = layout(tree, ["models", "model"] if tree is NESTED else None, 0)
    again = pickle.loads(pickle.dumps(where))
    assert isinstance(again, Layout)
    for name in ("names", "shapes", "batch", "dtype", "device", "border", "n", "width", "is_tensor"):
        assert getattr(again, name) == getattr(where, name)
    assert again.flatten(tree).shape == (where.n,)


def test_functions_of_trees_are_functions_of_vectors() -> None:
    tree = numbered(x=(3, 2), y=(3,))
    of_vector = flat(lambda t: (t["x"].sum(1) * t["y"]).sum(), layout(tree, None, 0))
    assert float(of_vector(torch.arange(9.0))) == (0 + 1) * 6 + (2 + 3) * 7 + (4 + 5) * 8
    of_matrix = flat(lambda z: z[1].sum(), layout(torch.zeros(2, 3), None, 0))
    assert float(of_matrix(torch.arange(6.0))) == 3 + 4 + 5

    def f(x: Tensor) -> Tensor:
        return x.sum()

    assert flat(f, layout(torch.zeros(3), None, 0)) is f


def test_numbers_have_no_time_but_beside_others() -> None:
    assert layout({"a": X, "b": X[1]}, None, 0).border == (6,)
    assert layout({"a": X[0], "b": X[1]}, None, 0).border == ()


X = torch.zeros(6)


@pytest.mark.parametrize(
    ("tree", "error", "words"),
    [
        (None, TypeError, "x: expected a tensor, got NoneType"),
        ([1.0], TypeError, r"x: expected a tensor, .* got a list of numbers; torch\.tensor\(x, dtype"),
        ([X, 1.0], TypeError, r"x\.1: expected a tensor, got float"),
        ({"a": None}, TypeError, r"x\.a: expected a tensor, got NoneType"),
        ({"a": X, "b": X.long()}, TypeError, r"x\.b: expected dtype float32 or float64, got int64; pass x\.b\.double"),
        ({"a": X.to(torch.complex64)}, TypeError, r"x\.a: .* got complex64; torch\.view_as_real"),
        (X.half(), TypeError, "x: expected dtype float32 or float64, got float16"),
        ({}, ValueError, "x: expected at least one tensor of unknowns, got an empty pytree"),
        ([], ValueError, "empty pytree"),
        ({"a": X[:0]}, ValueError, r"x\.a: expected at least one unknown, got an empty tensor of shape \(0,\)"),
        ({"a": X, "b": X.double()}, ValueError, r"x\.b: expected torch\.float32 on cpu like x\.a, got torch\.float64"),
        ({"a": X, "b": X.to("meta")}, ValueError, r"x\.b: .* got torch\.float32 on meta; convert"),
        ({"a": X, "b": X[:4]}, ValueError, r"x\.b: expected a first dimension of 6 or 5, .* x\.a, .*border=\['b'\]"),
        ({"a": X[:4], "c": {"d": X}}, ValueError, r"x\.a: expected a first dimension of 6 or 5, the time of x\.c\.d"),
    ],
)
def test_bad_unknowns(tree: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        layout(tree, None, 0)


@pytest.mark.parametrize("border", [[6], [-7], [True], ["a"], [1.5], [None], "x", [torch.tensor(1.0)], [0, 6]])
def test_bad_borders_of_a_tensor(border: Any) -> None:
    with pytest.raises(ValueError, match="border: expected numbers of unknowns from 0 to 5, got"):
        layout(X, border, 0)


@pytest.mark.parametrize("border", [["c"], ["a", "c"], [0], "ab", [""], ["a."], [None], [1.5], ["b.0"]])
def test_bad_borders_of_a_tree(border: Any) -> None:
    with pytest.raises(ValueError, match="border: expected names among a, b, got"):
        layout({"a": X, "b": X}, border, 0)


@pytest.mark.parametrize(("tree", "border"), [(X, range(6)), (X[:1], [0]), ({"a": X, "b": X}, ["a", "b"])])
def test_borders_of_everything(tree: Any, border: Any) -> None:
    with pytest.raises(ValueError, match="left for the chain, got all of them in the border"):
        layout(tree, border, 0)


def test_bad_batches() -> None:
    with pytest.raises(ValueError, match=r"x: expected 2 batch dimensions .* got shape \(6,\)"):
        layout(X, None, 2)
    tree = {"a": torch.zeros(3, 4), "b": torch.zeros(2, 4)}
    with pytest.raises(ValueError, match=r"x\.b: expected 1 batch dimensions \(3,\) in front, got shape \(2, 4\)"):
        layout(tree, None, 1)
    with pytest.raises(ValueError, match="batch_dims: expected a number of leading dimensions, 0 or more, got -1"):
        layout(X, None, -1)


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        (X, r"x: expected the pytree {'a': \*, 'b': \(\*, \*\)}, got \*; make another plan"),
        ({"a": X, "b": (X,)}, r"got {'a': \*, 'b': \(\*,\)}"),
        ({"a": X, "b": [X, X]}, "expected the pytree"),
        ({"a": X[:5], "b": (X, X)}, r"x\.a: expected \(6,\), torch\.float32, cpu, .* got \(5,\)"),
        ({"a": X, "b": (X, X.double())}, r"x\.b\.1: expected .* got \(6,\), torch\.float64"),
        ({"a": X, "b": (X.to("meta"), X)}, r"x\.b\.0: .*meta"),
        ({"a": X, "b": (3, X)}, r"x\.b\.0: expected .* got 3; make another plan"),
        ({"a": X[None], "b": (X, X)}, r"x\.a: expected \(6,\).* got \(1, 6\)"),
    ],
)
def test_other_unknowns_than_the_layout_was_made_for(tree: Any, words: str) -> None:
    where = layout({"a": X, "b": (X, X)}, None, 0)
    with pytest.raises(ValueError, match=words):
        where.flatten(tree)
