"""Many problems at once, each held against its single solve."""

import re
import signal
from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from torch import Tensor

import banded
from banded import NonFiniteError, Result, Results, Status
from oracles import chain, rosenbrock, wells

matplotlib.use("agg")
GLOBALISATIONS = ["line search", "trust region", banded.LineSearch(wolfe=False, memory=5)]


def starts(B: int, n: int = 8, seed: int = 0) -> Tensor:
    return torch.randn(B, n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def assert_like_single_solves(
    results: Results, f: Callable[..., Tensor], x: Any, args: tuple[Any, ...] = (), **options: Any
) -> None:
    """Value, status, steps and point of each are those of `minimize` on the problem by itself."""
    map_ = torch.utils._pytree.tree_map
    for number, one in list(enumerate(results))[-6:]:

        def of(leaf: Any, number: int = number) -> Any:
            return leaf[number] if isinstance(leaf, Tensor) else leaf

        alone = banded.minimize(f, map_(of, x), args=map_(of, args), **options)
        assert one.status is alone.status
        assert one.value == pytest.approx(alone.value, rel=1e-9, abs=1e-12)
        assert one.iterations == alone.iterations
        for mine, other in zip(*map(torch.utils._pytree.tree_leaves, (one.x, alone.x)), strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-6, atol=1e-7)


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


def data(B: int, n: int) -> tuple[dict[str, Any], int]:
    generator = torch.Generator().manual_seed(1)
    return {
        "y": torch.randn(B, n, dtype=torch.float64, generator=generator),
        "which": torch.randint(0, n, (B, 3), generator=generator),
        "pair": (torch.rand(B, dtype=torch.float64, generator=generator) + 0.5, 2.0),
        "on": torch.arange(B) % 2 == 0,
    }, 3


def with_data(x: Tensor, d: dict[str, Any], power: int) -> Tensor:
    weight, factor = d["pair"]
    picked = (x[d["which"]] - factor).square().sum()
    value: Tensor = (x - d["y"]).square().sum() + weight * chain(x) + picked
    return value + torch.where(d["on"], (x ** (power + 1)).sum(), 0.0)


@pytest.mark.parametrize("B", [1, 3, 34])
def test_data_of_each_problem_are_trees_of_floats_integers_and_numbers(B: int) -> None:
    x, args = starts(B, 6), data(B, 6)
    results = banded.minimize(with_data, x, args=args, batch_dims=1)
    assert bool(results.success.all())
    assert_like_single_solves(results, with_data, x, args)


@pytest.mark.parametrize(
    ("x", "shape"),
    [((4, 5), (3,)), ((4, 5), ()), ((1, 5), ()), ((4, 5), (5, 4)), ((2, 3, 5), (2,)), ((2, 3, 5), (3, 2))],
)
def test_data_of_the_wrong_shape(x: tuple[int, ...], shape: tuple[int, ...]) -> None:
    """The shape that came is the one that is named; nothing is taken for another problem's."""
    with pytest.raises(ValueError, match=re.escape(f"got shape {shape}")):
        banded.minimize(
            lambda x, d: (x - d["w"].sum()).square().sum(),
            torch.zeros(x, dtype=torch.float64),
            args=({"w": torch.ones(shape, dtype=torch.float64)},),
            batch_dims=len(x) - 1,
        )


def test_the_error_on_data_says_what_to_do() -> None:
    with pytest.raises(
        ValueError,
        match=r"args\[1\]: expected batch dimensions \(4,\) in front, like x, got shape \(3, 2\); .*\.expand",
    ):
        banded.minimize(
            lambda x, a, b: (x - a - b.sum()).square().sum(),
            torch.zeros(4, 5, dtype=torch.float64),
            args=(torch.zeros(4, dtype=torch.float64), torch.zeros(3, 2, dtype=torch.float64)),
            batch_dims=1,
        )


def test_args_that_are_no_sequence() -> None:
    bad: Any
    for bad in (3, torch.zeros(3)):
        with pytest.raises(TypeError, match="args"):
            banded.minimize(chain, torch.zeros(3, dtype=torch.float64), args=bad)


def test_a_plan_has_its_data_and_takes_no_others() -> None:
    """Its data are those it was made with: others must be refused, or used, not be passed over in silence."""

    def f(x: Tensor, y: Tensor) -> Tensor:
        return (x - y).square().sum()

    zero, seven = torch.zeros(4, dtype=torch.float64), torch.full((4,), 7.0, dtype=torch.float64)
    plan = banded.plan(f, zero, args=(zero,))
    try:
        result = banded.minimize(plan, zero + 1, args=(seven,))
    except (TypeError, ValueError):
        return
    torch.testing.assert_close(result.x, seven)


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


def test_nan_at_one_start_names_the_problem() -> None:
    x = torch.ones(4, 3, dtype=torch.float64)
    x[2, 1] = -1
    with pytest.raises(NonFiniteError, match=r"\b2\b"):
        banded.minimize(lambda x: (x - x.log()).sum() + chain(x), x, batch_dims=1)


def test_constraints_are_refused() -> None:
    with pytest.raises(ValueError, match=r"equality: expected None with batch dimensions; .* one by one"):
        banded.minimize(chain, starts(2), batch_dims=1, equality=lambda x: x[:1] - 1)


@pytest.mark.parametrize(
    ("batch_dims", "error"), [(-1, ValueError), (3, ValueError), (1.5, TypeError), ("1", TypeError)]
)
def test_bad_batch_dimensions(batch_dims: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        banded.minimize(chain, starts(2), batch_dims=batch_dims)


def test_limits_hold_for_each() -> None:
    x = starts(3)
    results = banded.minimize(rosenbrock, x, batch_dims=1, max_iterations=0)
    assert set(results.status) == {Status.MAX_ITERATIONS}
    torch.testing.assert_close(results.x, x, rtol=0, atol=0)
    assert set(banded.minimize(rosenbrock, x, batch_dims=1, max_seconds=0).status) == {Status.MAX_SECONDS}


def test_a_callback_sees_all_points_and_a_record_of_each() -> None:
    """Problem 0 starts where H is indefinite, and takes longer to find its direction."""
    x = torch.tensor([[0.1] * 4, [2.0] * 4, [3.0] * 4], dtype=torch.float64)
    seen: list[tuple[Tensor, list[Any]]] = []
    results = banded.minimize(wells, x, batch_dims=1, callback=lambda x, r: seen.append((x, r)))
    assert bool(results.success.all())
    for points, records in seen:
        assert points.shape == (3, 4)
        assert len(records) == 3
        for point, record in zip(points, records, strict=True):
            assert record.value == pytest.approx(float(wells(point)), rel=1e-12, abs=1e-15)
    torch.testing.assert_close(seen[-1][0], results.x, rtol=0, atol=0)


def test_a_callback_gets_copies() -> None:
    x = starts(3)

    def spoil(points: Tensor, records: Any) -> None:
        points.fill_(torch.nan)

    results = banded.minimize(rosenbrock, x, batch_dims=1, callback=spoil)
    assert bool(results.success.all())


@pytest.mark.parametrize("calls", [1, 2, 5])
def test_a_callback_stops_all_problems_that_still_go_on(calls: int) -> None:
    x = torch.cat([torch.ones(1, 8, dtype=torch.float64), starts(3)])
    count = 0

    def enough(points: Tensor, records: Any) -> bool:
        nonlocal count
        count += 1
        return count == calls

    results = banded.minimize(rosenbrock, x, batch_dims=1, callback=enough)
    assert count == calls
    assert [one.name for one in results.status] == ["CONVERGED", "STOPPED", "STOPPED", "STOPPED"]
    for one in results:
        assert one.value == pytest.approx(float(rosenbrock(one.x)), rel=1e-12)


@pytest.mark.parametrize("error", [KeyboardInterrupt, None])
def test_a_callback_ends_it_at_the_very_first_call(error: type[BaseException] | None) -> None:
    x = torch.tensor([[0.1] * 4, [2.0] * 4], dtype=torch.float64)

    def end(points: Tensor, records: Any) -> bool:
        if error is not None:
            raise error
        return True

    results = banded.minimize(wells, x, batch_dims=1, callback=end)
    assert set(results.status) == {Status.INTERRUPTED if error else Status.STOPPED}
    torch.testing.assert_close(results.x, x, rtol=0, atol=0)


@pytest.mark.parametrize("vectorised", [True, False])
def test_an_interrupt_anywhere_gives_the_best_points_so_far(vectorised: bool) -> None:
    calls, when = 0, -1
    x = starts(2, 4)

    def f(x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == when:
            signal.raise_signal(signal.SIGINT)
        return rosenbrock(x) + (0 if vectorised else 0 * float(x[0].detach()))

    plan = banded.plan(f, x, bandwidth=1, batch_dims=1)
    calls = 0
    whole: Any = banded.minimize(plan, x)
    total = calls
    when = 1 if vectorised else 2  # before these there is nothing to give back
    while when < total:
        when, calls = when + 1, 0
        try:
            results: Any = banded.minimize(plan, x)
        except KeyboardInterrupt:
            pytest.fail(f"an interrupt at evaluation {when} of {total} lost the points so far")
        assert len(results) == 2
        for one, full in zip(results, whole, strict=True):
            assert one.status in (Status.INTERRUPTED, full.status)
            assert one.value == pytest.approx(float(rosenbrock(one.x)), rel=1e-12)
    calls, when = 0, -1
    torch.testing.assert_close(banded.minimize(plan, x).x, whole.x, rtol=0, atol=0)  # the plan is as it was


def test_errors_on_the_way_carry_the_best_points() -> None:
    calls = 0

    def f(x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if calls > 20:
            raise RuntimeError("mine")
        return rosenbrock(x)

    with pytest.raises(RuntimeError, match="mine") as caught:
        banded.minimize(f, starts(2), batch_dims=1, bandwidth=1)
    assert len(caught.value.result) == 2  # type: ignore[attr-defined]


def test_results_are_a_sequence_of_results() -> None:
    x = starts(5)
    results = banded.minimize(rosenbrock, x, batch_dims=1)
    assert isinstance(results, Results)
    assert all(isinstance(one, Result) for one in results)
    assert len(list(results)) == len(results) == 5
    assert results[-1] is results[4]
    assert results[1:3] == (results[1], results[2])
    assert next(reversed(results)) is results[4]
    assert results.index(results[2]) == 2
    with pytest.raises(IndexError):
        results[5]
    torch.testing.assert_close(results.x, torch.stack([one.x for one in results]), rtol=0, atol=0)
    torch.testing.assert_close(results.value, torch.tensor([float(rosenbrock(one)) for one in results.x]).double())
    assert results.value.dtype == results.gradient_norm.dtype == torch.float64
    slopes = [float(torch.func.grad(rosenbrock)(one).abs().max()) for one in results.x]
    np.testing.assert_allclose(results.gradient_norm, slopes, atol=1e-12)
    assert results.iterations.tolist() == [one.iterations for one in results]
    assert results.success.dtype == torch.bool
    assert repr(results) == "<Results of 5 problems, 5 of them solved>"


def test_results_print_counts_and_advice() -> None:
    x = torch.cat([torch.ones(1, 8, dtype=torch.float64), starts(3)])
    results = banded.minimize(rosenbrock, x, batch_dims=1, max_iterations=2)
    text = str(results)
    assert text.startswith("3 max iterations, 1 converged; 0 to 2 iterations, ")
    assert Status.MAX_ITERATIONS.value in text
    assert Status.CONVERGED.value in text
    assert repr(results) == "<Results of 4 problems, 1 of them solved>"


@pytest.mark.parametrize("B", [1, 3])
def test_seconds_of_a_batch_add_up(B: int) -> None:
    results = banded.minimize(rosenbrock, starts(B), batch_dims=1)
    assert set(results.profile) == {"plan", "derivatives", "values", "linear algebra", "the rest"}
    assert all(seconds >= 0 for seconds in results.profile.values())
    assert sum(results.profile.values()) == pytest.approx(results.seconds, rel=1e-6)


def test_pictures_of_batches() -> None:
    for x, limit in (
        (torch.ones(1, 8, dtype=torch.float64), 99),
        (starts(4), 999),
        (starts(4), 3),
        (starts(400, 2), 999),
    ):
        results = banded.minimize(rosenbrock, x, batch_dims=1, max_iterations=limit)
        figure = results.plot()
        figure.canvas.draw()
        assert len(figure.axes) == 3


def test_progress_counts_the_problems_that_ended(capsys: pytest.CaptureFixture[str]) -> None:
    banded.minimize(rosenbrock, starts(3), batch_dims=1, progress=False)
    assert capsys.readouterr().out == ""
    results = banded.minimize(rosenbrock, starts(3), batch_dims=1, progress=True)
    rows = capsys.readouterr().out.splitlines()
    assert "3 of 3 ended" in rows[-1]
    assert rows[-1].split()[0] == str(int(results.iterations.max()))


def test_starts_are_left_as_they_are() -> None:
    x = starts(4)
    kept = x.clone()
    banded.minimize(wells, x, batch_dims=1)
    assert torch.equal(x, kept)
    assert torch.equal(banded.minimize(wells, x, batch_dims=1).x, banded.minimize(wells, x, batch_dims=1).x)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_batches_on_an_accelerator() -> None:
    x = starts(20, 9)
    here = banded.minimize(lambda x: chain(x) + (x - 1).cosh().sum(), x, batch_dims=1)
    there = banded.minimize(lambda x: chain(x) + (x - 1).cosh().sum(), x.cuda(), batch_dims=1)
    assert there.x.is_cuda
    assert bool(there.success.all())
    torch.testing.assert_close(there.x.cpu(), here.x)
