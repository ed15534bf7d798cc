"""What is seen of a batch, on the way and afterwards: limits, callbacks, interrupts, errors, results, pictures."""

import signal
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from torch import Tensor

import banded
from banded import Result, Results, Status
from oracles import failing, rosenbrock, wells
from single_solves import starts

matplotlib.use("agg")


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
    with pytest.raises(RuntimeError, match="mine") as caught:
        banded.minimize(failing(rosenbrock, 20), starts(2), batch_dims=1, bandwidth=1)
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
    for one in results:
        assert one.seconds == results.seconds
        assert one.profile == results.profile
        assert results.profile["plan"] <= one.history[0].seconds <= one.history[-1].seconds <= one.seconds


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
