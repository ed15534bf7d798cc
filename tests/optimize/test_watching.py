"""What is seen of a minimisation, on the way and afterwards: callbacks, limits, history, profile, pictures, errors."""

import signal
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from torch import Tensor

import banded
from banded import LineSearch, Record, Result, Status
from banded.problems import cartpole
from oracles import chain, rosenbrock

matplotlib.use("agg")
PARTS = {"plan", "derivatives", "values", "linear algebra", "the rest"}


def zeros(n: int = 10) -> Tensor:
    return torch.zeros(n, dtype=torch.float64)


def circles(x: Tensor) -> Tensor:
    return x[1:] ** 2 + x[:-1] ** 2 - 1


def distance(x: Tensor) -> Tensor:
    return (x - torch.arange(len(x), dtype=x.dtype)).square().sum()


@pytest.mark.parametrize("globalisation", ["line search", "trust region"])
def test_a_callback_sees_every_iterate_once(globalisation: str) -> None:
    seen: list[tuple[Tensor, Record]] = []
    result = banded.minimize(
        rosenbrock, zeros(), callback=lambda x, record: seen.append((x, record)), globalisation=globalisation
    )
    assert result.success
    assert tuple(record for _, record in seen) == result.history
    assert len(seen) == result.iterations + 1
    for x, record in seen:
        assert record.value == pytest.approx(float(rosenbrock(x)), rel=1e-13, abs=1e-300)
        slope: Any = torch.func.grad(rosenbrock)(x)
        assert record.gradient_norm == pytest.approx(float(slope.abs().max()), rel=1e-9, abs=1e-12)
    assert torch.equal(seen[0][0], zeros())
    assert torch.equal(seen[-1][0], result.x)
    assert len({x.data_ptr() for x, _ in seen}) == len(seen)  # all are there at once


def test_a_callback_sees_points_of_the_kind_of_the_start() -> None:
    start = {"a": zeros(6).reshape(3, 2), "b": torch.ones((), dtype=torch.float64)}
    seen: list[Any] = []

    def f(x: dict[str, Tensor]) -> Tensor:
        return (x["a"] - x["b"]).square().sum() + chain(x["a"][:, 0]) + (x["b"] - 2) ** 2

    banded.minimize(f, start, callback=lambda x, record: seen.append(x))
    for x in seen:
        assert {name: leaf.shape for name, leaf in x.items()} == {"a": (3, 2), "b": ()}


def test_what_a_callback_writes_into_its_point_changes_nothing() -> None:
    plain = banded.minimize(rosenbrock, zeros())
    spoilt = banded.minimize(rosenbrock, zeros(), callback=lambda x, record: x.fill_(torch.nan))
    assert torch.equal(plain.x, spoilt.x)
    assert [one.value for one in plain.history] == [one.value for one in spoilt.history]


@pytest.mark.parametrize("calls", [1, 2, 7])
def test_a_callback_that_returns_true_stops_there(calls: int) -> None:
    seen: list[Tensor] = []

    def enough(x: Tensor, record: Record) -> bool:
        seen.append(x)
        return len(seen) == calls

    result = banded.minimize(rosenbrock, zeros(), callback=enough)
    assert result.status is Status.STOPPED
    assert not result.success
    assert len(seen) == calls == len(result.history)
    assert torch.equal(result.x, seen[-1])
    assert result.iterations == calls - 1


@pytest.mark.parametrize("answer", [False, None, 0, 1, "go on"])
def test_a_callback_that_returns_anything_else_does_not(answer: Any) -> None:
    assert banded.minimize(rosenbrock, zeros(), callback=lambda x, record: answer).status is Status.CONVERGED


def test_a_callback_that_stops_at_the_minimum_does_not_spoil_the_verdict() -> None:
    start = torch.ones(5, dtype=torch.float64)
    assert banded.minimize(rosenbrock, start, callback=lambda x, record: True).status is Status.CONVERGED


def test_a_callback_with_constraints() -> None:
    seen: list[Record] = []
    start = torch.full((6,), 0.6, dtype=torch.float64)
    result = banded.minimize(distance, start, equality=circles, callback=lambda x, record: seen.append(record))
    assert result.success
    assert tuple(seen) == result.history
    stopped = banded.minimize(distance, start, equality=circles, callback=lambda x, record: record.iteration == 2)
    assert stopped.status is Status.STOPPED
    assert stopped.violation == pytest.approx(float(circles(stopped.x).abs().max()))


def assert_best_so_far(error: BaseException) -> Result:
    result: Result = error.result  # type: ignore[attr-defined]
    assert isinstance(result, Result)
    assert result.value == pytest.approx(float(rosenbrock(result.x)), rel=1e-12)
    assert result.value == min(record.value for record in result.history)
    assert any("attribute `result`" in note for note in error.__notes__)
    assert not result.success
    return result


@pytest.mark.parametrize("kind", [RuntimeError, ValueError, ZeroDivisionError, StopIteration])
def test_errors_of_the_callback_pass_through_with_the_best_point(kind: type[Exception]) -> None:
    def fail(x: Tensor, record: Record) -> None:
        if record.iteration == 3:
            raise kind("mine")

    with pytest.raises(kind, match="mine") as caught:
        banded.minimize(rosenbrock, zeros(), callback=fail)
    assert assert_best_so_far(caught.value).iterations == 3


@pytest.mark.parametrize("globalisation", ["line search", "trust region", LineSearch(wolfe=False)])
@pytest.mark.parametrize("kind", [RuntimeError, ValueError])
def test_errors_of_f_on_the_way_carry_the_best_point(kind: type[Exception], globalisation: Any) -> None:
    calls = 0

    def f(x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if calls > 25:
            raise kind("mine")
        return rosenbrock(x)

    with pytest.raises(kind, match="mine") as caught:
        banded.minimize(f, zeros(30), bandwidth=1, globalisation=globalisation)
    assert assert_best_so_far(caught.value).iterations > 0


def counted(when: int, kind: str) -> tuple[list[int], Any]:
    """Rosenbrock's function, at whose evaluation number `when`, and all behind, something happens."""
    calls = [0]

    def f(x: Tensor) -> Tensor:
        calls[0] += 1
        if when and (calls[0] == when if kind == "interrupt" else calls[0] >= when):
            if kind == "interrupt":
                signal.raise_signal(signal.SIGINT)
            else:
                raise ValueError("mine")
        return rosenbrock(x)

    return calls, f


def evaluations() -> tuple[int, int]:
    """Of the plan with the start, and of all."""
    calls, f = counted(0, "")
    banded.minimize(f, zeros(4), bandwidth=1, max_iterations=0)
    first = calls[0]
    calls, f = counted(0, "")
    banded.minimize(f, zeros(4), bandwidth=1)
    return first, calls[0]


def test_an_error_of_f_anywhere_behind_the_start_carries_the_best_point() -> None:
    """At the end f is evaluated once more to check the band, and once to see what it depends on."""
    first, last = evaluations()
    for when in range(first + 1, last + 1):
        with pytest.raises(ValueError, match="mine") as caught:
            banded.minimize(counted(when, "error")[1], zeros(4), bandwidth=1)
        assert hasattr(caught.value, "result"), f"at evaluation {when} of {last}"
        assert_best_so_far(caught.value)


def test_an_interrupt_anywhere_behind_the_start_gives_the_best_point() -> None:
    first, last = evaluations()
    for when in range(first + 1, last + 1):
        try:
            result = banded.minimize(counted(when, "interrupt")[1], zeros(4), bandwidth=1)
        except KeyboardInterrupt:
            pytest.fail(f"an interrupt at evaluation {when} of {last} lost the point")
        assert result.status in (Status.INTERRUPTED, Status.CONVERGED)
        assert result.value == pytest.approx(float(rosenbrock(result.x)), rel=1e-12, abs=1e-300)


def test_an_interrupt_in_the_callback() -> None:
    def interrupt(x: Tensor, record: Record) -> None:
        if record.iteration == 2:
            signal.raise_signal(signal.SIGINT)

    result = banded.minimize(rosenbrock, zeros(), callback=interrupt)
    assert (result.status, result.iterations) == (Status.INTERRUPTED, 2)


def test_an_error_at_the_start_has_nothing_to_carry() -> None:
    def f(x: Tensor) -> Tensor:
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine") as caught:
        banded.minimize(f, zeros())
    assert not hasattr(caught.value, "result")


def test_no_time_at_all() -> None:
    result = banded.minimize(rosenbrock, zeros(), max_seconds=0)
    assert (result.status, result.iterations, result.value) == (Status.MAX_SECONDS, 0, 9)
    assert torch.equal(result.x, zeros())
    assert "max_seconds" in str(result)
    assert banded.minimize(rosenbrock, torch.ones(4, dtype=torch.float64), max_seconds=0).success
    constrained = banded.minimize(distance, zeros(6) + 0.6, equality=circles, max_seconds=0)
    assert constrained.status is Status.MAX_SECONDS


@pytest.mark.parametrize("seconds", [None, 1e9, float("inf"), np.float64(1e9)])
def test_time_enough(seconds: Any) -> None:
    assert banded.minimize(rosenbrock, zeros(), max_seconds=seconds).status is Status.CONVERGED


def test_no_iterations() -> None:
    seen: list[Record] = []
    result = banded.minimize(rosenbrock, zeros(), max_iterations=0, callback=lambda x, record: seen.append(record))
    assert (result.status, result.iterations) == (Status.MAX_ITERATIONS, 0)
    assert len(seen) == len(result.history) == 1
    assert result.history[0].step == 0
    constrained = banded.minimize(distance, zeros(6) + 0.6, equality=circles, max_iterations=0)
    assert (constrained.status, constrained.iterations) == (Status.MAX_ITERATIONS, 0)


@pytest.mark.parametrize("limit", [1, 2, 5, np.int64(3)])
def test_as_many_iterations_as_allowed(limit: int) -> None:
    result = banded.minimize(rosenbrock, zeros(30), max_iterations=limit)
    assert (result.status, result.iterations) == (Status.MAX_ITERATIONS, limit)
    assert [record.iteration for record in result.history] == list(range(limit + 1))


def test_the_history_agrees_with_the_result() -> None:
    for result in (
        banded.minimize(rosenbrock, zeros()),
        banded.minimize(rosenbrock, zeros(), max_iterations=4),
        banded.minimize(rosenbrock, torch.ones(3, dtype=torch.float64)),
        cartpole(10).solve(),
        banded.minimize(rosenbrock, zeros(), globalisation=LineSearch(memory=10)),
    ):
        last = result.history[-1]
        assert last.iteration == result.iterations == sum(record.step > 0 for record in result.history)
        assert last.gradient_norm == result.gradient_norm
        assert last.value == result.value
        assert last.violation == result.violation
        assert last.evaluations <= result.evaluations <= last.evaluations + 3  # the band, multipliers, derivatives
        assert 0 <= last.seconds <= result.seconds
        seconds = [record.seconds for record in result.history]
        assert seconds == sorted(seconds)
        counts = [record.evaluations for record in result.history]
        assert counts == sorted(counts)


@pytest.mark.parametrize(
    ("f", "options"),
    [
        (rosenbrock, {}),
        (rosenbrock, {"globalisation": "trust region"}),
        (rosenbrock, {"max_iterations": 0}),
        (rosenbrock, {"max_seconds": 0}),
        (chain, {}),
        (distance, {"equality": circles}),
        (rosenbrock, {"callback": lambda x, record: record.iteration == 3}),
    ],
)
def test_seconds_add_up(f: Any, options: dict[str, Any]) -> None:
    result = banded.minimize(f, zeros() + 0.6, **options)
    assert {"plan", "derivatives", "linear algebra", "the rest"} <= set(result.profile) <= PARTS
    assert all(seconds >= 0 for seconds in result.profile.values())
    assert sum(result.profile.values()) == pytest.approx(result.seconds, rel=1e-6)


def test_values_of_f_alone_are_a_part_of_the_profile_where_there_are_any() -> None:
    assert "values" in banded.minimize(rosenbrock, zeros()).profile


@pytest.mark.parametrize(
    ("f", "start", "options"),
    [
        (rosenbrock, 0.0, {}),
        (rosenbrock, 1.0, {}),  # at the minimum: all columns are zero
        (lambda x: x.square().sum(), 0.0, {}),
        (lambda x: x.cos().sum(), 1e-3, {}),  # H is shifted
        (rosenbrock, 0.0, {"max_iterations": 0}),
        (rosenbrock, 0.0, {"max_iterations": 3}),
        (lambda x: (x**3).sum(), -1.0, {}),
        (distance, 0.6, {"equality": circles}),
        (distance, 0.6, {"equality": circles, "max_iterations": 0}),
        (distance, 0.6, {"equality": lambda x: torch.cat([x - 1, x + 1])}),
    ],
)
def test_pictures(f: Any, start: float, options: dict[str, Any]) -> None:
    result = banded.minimize(f, zeros(6) + start, **options)
    figure = result.plot()
    figure.canvas.draw()
    assert len(figure.axes) == 3
    assert result.status.name.lower().replace("_", " ") in figure.axes[0].get_title()
    labels = figure.axes[0].get_legend_handles_labels()[1]
    assert ("violation" in labels) == ("equality" in options)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"callback": 3}, TypeError, "callback: expected a function"),
        ({"callback": "print"}, TypeError, "callback: expected a function"),
        ({"globalisation": "newton"}, ValueError, "globalisation: expected 'line search' or 'trust region'.*'newton'"),
        ({"globalisation": 3}, TypeError, "globalisation: expected a name, LineSearch or TrustRegion, got int"),
        ({"globalisation": None}, TypeError, "globalisation: expected a name, .* got NoneType"),
        ({"globalisation": LineSearch}, TypeError, "globalisation: expected"),
        ({"max_seconds": -1}, ValueError, "max_seconds: expected a number of seconds >= 0"),
        ({"max_seconds": float("nan")}, ValueError, "max_seconds: expected"),
        ({"max_seconds": "soon"}, (TypeError, ValueError), "max_seconds: expected"),
        ({"max_iterations": -1}, ValueError, "max_iterations: expected a whole number >= 0"),
        ({"max_iterations": "many"}, TypeError, "max_iterations"),
        ({"tolerance": None}, TypeError, "tolerance"),
        ({"tolerance": -1e-8}, ValueError, "tolerance: expected a number >= 0"),
        ({"method": "newton"}, ValueError, "method: expected one of"),
        ({"method": 3}, ValueError, "method: expected one of"),
        ({"bandwidth": "wide"}, TypeError, "bandwidth: expected a whole number"),
        ({"bandwidth": -1}, ValueError, "bandwidth: expected"),
        ({"border": [99]}, ValueError, "border: expected numbers of unknowns"),
        ({"batch_dims": "one"}, TypeError, "batch_dims: expected a whole number"),
        ({"equality": 3}, TypeError, "equality: expected a function"),
    ],
)
def test_bad_arguments(options: dict[str, Any], error: Any, text: str) -> None:
    with pytest.raises(error, match=text):
        banded.minimize(rosenbrock, zeros(), **options)


@pytest.mark.parametrize("f", [3, None, "f", torch.zeros(3)])
def test_a_function_that_is_none(f: Any) -> None:
    with pytest.raises(TypeError, match="f: expected a function"):
        banded.minimize(f, zeros())
