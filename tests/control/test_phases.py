"""Problems of several phases."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from moves import SCHEMES, block, drift, effort, halves, pushed, staged, whole, wind
from torch import Tensor

import banded
from banded import ControlProblem, Phases
from banded.control.programme import Programme
from banded.control.schemes import SCHEMES as ALL
from banded.control.setup import Setup


@pytest.mark.parametrize("scheme", ["euler", "midpoint", banded.RungeKutta(controls="constant")])
def test_what_is_split_at_a_node_is_the_same(scheme: Any) -> None:
    """Where controls are held, the junction has none of its own."""
    one = block(dynamics=wind, running_cost=drift, control_bounds=(-5, 5)).solve(21, scheme, tolerance=1e-11)
    two = halves().solve((9, 13), scheme, tolerance=1e-11)
    assert two.cost == pytest.approx(one.cost, abs=1e-9)
    torch.testing.assert_close(whole(two, "x"), one.x, atol=1e-9, rtol=0)
    torch.testing.assert_close(whole(two, "t"), one.t, atol=1e-12, rtol=0)
    others = [i for i in range(21) if i != 8]  # where an inner costate is known to the order of the scheme only
    torch.testing.assert_close(whole(two, "costates")[others], one.costates[others], atol=1e-7, rtol=0)
    before, after = two.phases
    torch.testing.assert_close(before.costates[-1], after.costates[0], atol=1e-9, rtol=0)


@pytest.mark.parametrize("scheme", ["trapezoidal", "hermite-simpson", "rk4"])
def test_a_control_that_may_jump_at_a_junction_changes_little(scheme: str) -> None:
    one = block(dynamics=wind, running_cost=drift).solve(41, scheme, tolerance=1e-11)
    two = halves(control_bounds=None).solve((17, 25), scheme, tolerance=1e-11)
    assert two.cost <= one.cost + 1e-9
    assert two.cost == pytest.approx(one.cost, rel=1e-6 if ALL[scheme].order == 4 else 1e-3)
    torch.testing.assert_close(two.phases[0].costates[-1], two.phases[1].costates[0], atol=1e-8, rtol=0)


def tuned(seen: Callable[..., Tensor] | None = None, **changed: Any) -> ControlProblem:
    """Motion without controls, whose parameters are found; c counts time where `seen` is None."""

    def moving(x: Tensor, u: Tensor, t: Tensor, p: Tensor) -> Tensor:
        counting = torch.ones_like(t) if seen is None else torch.zeros_like(t)
        return torch.stack([p[0] * (2 * t).cos() - x[0] * p[1], counting])

    return ControlProblem(
        **{
            "dynamics": moving,
            "states": ("x", "c"),
            "parameters": ("push", "brake"),
            "parameter_bounds": ([-3, 0], [3, 2]),
            "running_cost": lambda x, u, t, p: (x[0] - t) ** 2 + 0.1 * p.square().sum(),
            "boundary_constraint": seen,
            **changed,
        }
    )


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_free_duration_counts_in_later_times(scheme: str) -> None:
    """Split at 0.4 of a duration that is to be found, as c has it: the same trajectory, parameters, multipliers."""
    final = {"final_cost": lambda x, t: (t - 2) ** 2 + x[0] ** 2}
    one = tuned(initial_state=[1, 0], duration=(0.5, 4), **final).solve(21, scheme, tolerance=1e-11)
    first = tuned(initial_state=[1, 0], duration=(0.1, 4))
    second = tuned(lambda first, last, t: last[1] - 0.4 * t, duration=(0.1, 4), **final)
    two = Phases([first, second], shared=("push", "brake")).solve((9, 13), scheme, tolerance=1e-11)
    assert one.success
    assert two.success
    assert two.duration == pytest.approx(one.duration, rel=1e-7)
    assert two.phases[0].duration == pytest.approx(0.4 * one.duration, rel=1e-7)
    assert two.cost == pytest.approx(one.cost, rel=1e-9)
    for phase in two.phases:
        torch.testing.assert_close(phase.parameters, one.parameters, atol=1e-7, rtol=0)
    torch.testing.assert_close(whole(two, "x")[:, 0], one.x[:, 0], atol=1e-7, rtol=0)
    torch.testing.assert_close(whole(two, "costates")[[0, -1], 0], one.costates[[0, -1], 0], atol=1e-6, rtol=0)
    torch.testing.assert_close(two.phases[0].costates[-1], two.phases[1].costates[0], atol=1e-7, rtol=0)


def scaled(end: Tensor, start: Tensor, t: Tensor, p: Tensor) -> Tensor:
    return torch.stack([start[0] - end[0] * p[0] + t, start[1] - end[1]])


def met(first: Tensor, last: Tensor, t: Tensor) -> Tensor:
    return last[0] * first[1] - t**2


def late(x: Tensor, t: Tensor) -> Tensor:
    return t * x[0]


def three() -> Phases:
    """Phases of free durations, with a link that is a function, a shared parameter and ends that know each other."""
    parts = [
        tuned(initial_state=[1, 0], duration=(0.1, 4)),
        tuned(duration=(0.1, 4)),
        tuned(met, duration=(0.2, 3), final_cost=late),
    ]
    return Phases(parts, [scaled, None], ("brake",), lambda first, last, t: first[0] * last[0] * t)


def quadrature(scheme: str, values: Tensor) -> Tensor:
    return (values[1:] + values[:-1]) / 2 if scheme == "trapezoidal" else values[:-1]


def restated(x: Tensor, programme: Programme, phases: Phases, scheme: str) -> tuple[Tensor, Tensor]:
    """The cost and the equations of `three`, written down phase by phase."""
    cost, now = x.new_zeros(()), x.new_zeros(())
    rows: dict[str, Tensor] = {}
    ends, copies, known = [], [], []
    for k, (where, setup, problem) in enumerate(zip(programme.where, programme.phases, phases.phases, strict=True)):
        own = x[where]
        states, shared = own[setup.chain.nodes.x], own[setup.chain.shared]
        duration, p = shared[k], shared[k + 1 :]
        times, h = now + setup.grid * duration, setup.grid.diff() * duration
        assert problem.running_cost is not None
        f = [problem.dynamics(one, one[:0], t, p) for one, t in zip(states, times, strict=True)]
        loss = [problem.running_cost(one, one[:0], t, p) for one, t in zip(states, times, strict=True)]
        cost = cost + (h * quadrature(scheme, torch.stack(loss))).sum()
        rows[f"{k}"] = (states.diff(dim=0) - h[:, None] * quadrature(scheme, torch.stack(f))).flatten()
        now = now + duration
        known.append((now, p))
        ends.append((states[0], states[-1]))
        copies.append(own[setup.copy])
    rows["0 linked"], rows["2 linked"] = copies[0] - ends[0][0], copies[2] - ends[2][0]
    rows["2 tied"] = met(copies[2], ends[2][1], now)[None]
    rows["links"] = torch.cat([scaled(ends[0][1], ends[1][0], *known[0]), ends[2][0] - ends[1][1]])
    rows["tied"] = (copies[0][0] * ends[2][1][0] * now)[None]
    order = ["0", "0 linked", "1", "2", "2 linked", "2 tied", "links", "tied"]
    return cost + late(ends[2][1], now), torch.cat([rows[name] for name in order])


@pytest.mark.parametrize("scheme", ["euler", "trapezoidal"])
def test_rows_and_derivatives_beside_a_dense_restatement(scheme: str) -> None:
    """By autograd of functions that know nothing of tables; earlier durations, which are unknowns, among others."""
    phases, numbers = three(), torch.Generator().manual_seed(7)
    stated = phases.stated
    setups = [
        Setup(one, torch.linspace(0, 1, count, dtype=torch.float64), ALL[scheme], copied=count == 3)
        for count, one in zip((3, 4, 5), stated.phases, strict=True)
    ]
    assert [one.problem.functions.before for one in setups] == [0, 1, 2]
    programme = Programme(setups, stated.names, stated.links, stated.ends, stated.shared)
    x = torch.rand(programme.n, dtype=torch.float64, generator=numbers) + 0.5
    plan = programme.transcription(x, False, {})
    multipliers = torch.rand(plan.m, dtype=torch.float64, generator=numbers)
    found = plan.evaluate(x[None], multipliers[None], x.new_ones(1))

    def rows(x: Tensor) -> Tensor:
        return restated(x, programme, phases, scheme)[1]

    def lagrangian(x: Tensor) -> Tensor:
        cost, rows = restated(x, programme, phases, scheme)
        return cost + multipliers @ rows

    close = partial(torch.testing.assert_close, atol=1e-11, rtol=0)
    close(found.value[0], restated(x, programme, phases, scheme)[0])
    close(found.rows[0], rows(x))
    close(found.gradient[0], torch.func.grad(lagrangian)(x))
    close(found.H.to_dense()[0], torch.func.hessian(lagrangian)(x))
    identity = torch.eye(plan.m, dtype=torch.float64)
    J = torch.stack([found.J.transposed_times(one[None])[0] for one in identity])
    close(J, torch.func.jacrev(rows)(x))


def test_the_fastest_way_with_other_limits_in_each_phase() -> None:
    """From rest at 0 to rest at 2, with a push of up to 1 in the first part and a brake of up to 3 after it.

    v² = 2 s at a switch after s, and v² = 6 (2 - s): s = 3/2, v = √3, so it takes √3 + √3/3.
    """

    def leg(low: float, high: float, **rest: Any) -> ControlProblem:
        return ControlProblem(pushed, ("s", "v"), ("push",), control_bounds=(low, high), duration=(0.1, 9), **rest)

    legs = [leg(-0.1, 1, initial_state=[0, 0]), leg(-3, 0.1, final_state=[2, 0], final_cost=lambda x, t: t)]
    found = Phases(legs).solve((6, 8))
    assert found.success
    assert found.cost == pytest.approx(4 / math.sqrt(3), abs=1e-6)
    assert [one.duration for one in found.phases] == pytest.approx([math.sqrt(3), 1 / math.sqrt(3)], abs=1e-5)
    assert found.phases[1].x[0].tolist() == pytest.approx([1.5, math.sqrt(3)], abs=1e-5)
    assert float(found.phases[1].t[0]) == pytest.approx(math.sqrt(3), abs=1e-5)


def test_a_stage_that_is_dropped() -> None:
    """CasADi 3.7 with Ipopt, the same scheme on the same grid written by hand, found -0.1926465020."""
    found = staged().solve(41, "hermite-simpson")
    assert found.success
    assert found.cost == pytest.approx(-0.192646502, abs=3e-7)
    before, after = found.phases
    torch.testing.assert_close(after.x[0], before.x[-1] - torch.tensor([0, 0, 0.6], dtype=torch.float64))
    assert found.simulate().gap < 1e-3
    assert "In all, it costs -0.19" in str(found.simulate())


def test_links_by_name_and_states_that_are_counted() -> None:
    legs = [block(initial_state=[0, 0], final_state=None), block(initial_state=[math.nan, 0.5])]
    found = Phases(legs, [("position",)]).solve(21)
    assert found.success
    torch.testing.assert_close(found.phases[0].x[-1, 0], found.phases[1].x[0, 0])
    assert float(found.phases[1].x[0, 1]) == 0.5
    assert float(found.phases[0].x[-1, 1]) != pytest.approx(0.5, abs=0.01)
    counted = [block(states=2, initial_state=[0, 0], final_state=None), block(states=2, initial_state=None)]
    found = Phases(counted).solve(21)
    torch.testing.assert_close(found.phases[0].x[-1], found.phases[1].x[0])


def test_a_junction_that_is_given_on_both_sides() -> None:
    found = Phases([block(), block(initial_state=[1, 0], final_state=[0, 0])]).solve(21, "hermite-simpson")
    assert found.success
    assert found.cost == pytest.approx(24, rel=1e-7)


def test_a_whole_that_is_periodic() -> None:
    """As a problem of one phase has it, by two that are tied."""

    def loss(x: Tensor, u: Tensor, t: Tensor) -> Tensor:
        return u[0].square() + (x[0] - (2 * math.pi * t).sin()).square()

    usual: dict[str, Any] = {"dynamics": lambda x, u: u - x, "states": 1, "controls": 1, "running_cost": loss}
    parts = [ControlProblem(duration=one, **usual) for one in (0.25, 0.75)]
    two = Phases(parts, boundary_constraint=lambda first, last: last - first).solve((11, 31), "midpoint")
    one = ControlProblem(**usual, periodic=True).solve(41, "midpoint")
    assert two.cost == pytest.approx(one.cost, rel=1e-8)
    torch.testing.assert_close(whole(two, "x"), one.x, atol=1e-7, rtol=0)


def test_a_phase_that_is_periodic_and_one_with_a_boundary_constraint() -> None:
    turn = block(initial_state=[0, 0.3], final_state=None, periodic=("speed",), duration=1.0)
    last = block(initial_state=None, boundary_constraint=lambda first, last: last[0] - first[0] - 1, final_state=None)
    found = Phases([turn, last]).solve(21)
    assert found.success
    assert float(found.phases[0].x[-1, 1]) == pytest.approx(0.3, abs=1e-8)
    assert float(found.phases[1].x[-1, 0] - found.phases[1].x[0, 0]) == pytest.approx(1, abs=1e-8)


def test_shared_bounds_intersect_and_the_first_guess_counts() -> None:
    def phase(bounds: tuple[float, float], **rest: Any) -> ControlProblem:
        usual: dict[str, Any] = {"states": ("x",), "parameters": ("rate",), "parameter_bounds": bounds}
        return ControlProblem(lambda x, u, p: p[:1] + 0 * x, **usual, **rest)

    phases = Phases([phase((0, 3), initial_state=[0]), phase((-1, 2), final_cost=lambda x: -x[0])], shared=("rate",))
    found = phases.solve(5, guess=[{"parameters": [1.0]}, None])
    assert found.success
    assert found.cost == pytest.approx(-4, abs=1e-6)
    assert all(float(one.parameters[0]) == pytest.approx(2, abs=1e-6) for one in found.phases)
    assert found.explain().count("rate <= 2") == 1


ONE = block()
BAD: list[tuple[Callable[[], Any], str]] = [
    (lambda: Phases([]), "phases: expected at least two ControlProblems, got 0"),
    (lambda: Phases([ONE]), "phases: expected at least two ControlProblems, got 1"),
    (lambda: Phases(ONE), "phases: expected ControlProblems in the order of time"),  # type: ignore[arg-type]
    (lambda: Phases([ONE, None]), "phases: expected ControlProblems"),  # type: ignore[list-item]
    (lambda: Phases([ONE, block(initial_time=1.0)]), "phase 2: expected no initial_time"),
    (lambda: Phases([ONE, ONE]), r"links\[0\]: expected final_state of phase 1 and initial_state of phase 2"),
    (lambda: Phases([ONE, ONE], [None, None]), "links: expected an entry for each junction, 1 in all, got 2"),
    (lambda: Phases([ONE, ONE], "speed"), "links: expected a list with an entry for each junction"),
    (lambda: Phases([ONE, ONE], ["speed"]), r"links\[0\]: expected None, names of states, or a function"),
    (lambda: Phases([ONE, ONE], [("height",)]), r"links\[0\]: expected names of states .* got 'height'"),
    (lambda: Phases([ONE, ONE], [lambda end: end]), r"links\[0\]: expected a function of \(end, start\)"),
    (lambda: Phases([ONE, ONE], [lambda end, start: end[:0]]), r"links\[0\]: expected at least one number"),
    (lambda: Phases([ONE, ONE], [lambda end, start: end[None]]), r"links\[0\]: expected a vector at one node"),
    (lambda: Phases([ONE, block(states=("a", "b"))]), r"links\[0\]: expected phases with states of the same name"),
    (lambda: Phases([ONE, ONE], [()], shared=("gain",)), "shared: expected parameters of at least two phases"),
    (lambda: Phases([ONE, ONE], [()], shared="gain"), "shared: expected a tuple of names"),
    (lambda: halves().solve((5, 6, 7)), "nodes: expected one for each of 2 phases, got 3"),
    (lambda: halves().solve((5, 1)), "nodes: expected at least 2, got 1"),
    (lambda: halves().solve(5, ["rk4"]), "scheme: expected one for each of 2 phases, got 1"),
    (lambda: halves().solve(5, grid=[[0, 1]]), "grid: expected a list with the nodes of each of 2 phases"),
    (lambda: halves().solve(5, guess=[None]), "guess: expected one for each of 2 phases, got 1"),
    (lambda: halves().solve(5, guess={"x": [0, 0]}), "guess: expected a list with one for each phase"),  # type: ignore[arg-type]
    (lambda: halves().solve(5, warm_start=ONE.solve(5)), "warm_start: expected a PhasedSolution"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("make", "message"), BAD)
def test_what_does_not_fit_is_told(make: Callable[[], Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make()


def test_shared_bounds_that_exclude_each_other() -> None:
    one, other = (block(parameters=("p",), parameter_bounds=bounds) for bounds in ((0, 1), (2, 3)))
    with pytest.raises(ValueError, match=r"something in common, got a lower one of 2\.0 and an upper one of 1\.0"):
        Phases([one, other], [()], shared=("p",))


def test_functions_that_do_not_ask_for_time_do_not_get_it() -> None:
    """Earlier durations are arguments only where they count."""
    legs = [block(duration=(0.5, 2)), block(duration=(0.5, 2)), block(dynamics=wind, running_cost=effort)]
    before = [one.functions.before for one in Phases(legs, [(), ()]).stated.phases]
    assert before == [0, 0, 2]
    assert [one.functions.before for one in Phases(legs, [(), lambda end, start, t: t - 1]).stated.phases] == [0, 1, 2]
