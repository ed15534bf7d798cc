"""The problems of optimal control: their dynamics at a point, and their minima by two schemes on many grids."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import pairwise
from math import log2, sqrt
from typing import Any

import pytest
import torch
from torch import Tensor

from banded import ControlProblem, HermiteSimpson, Scheme, Solution, Status
from banded.problems import CONTROL_PROBLEMS as PROBLEMS
from banded.problems import hanging

TR, HS, LINEAR = "trapezoidal", "hermite-simpson", HermiteSimpson(controls="linear")

# dx/dt at x = (0.1, 0.2, ...), u = (0.5, 0.7); of goddard at (1.01, 0.1, 0.8), 2
RATES: dict[str, tuple[float, ...]] = {
    "swingup": (0.3, 0.4, 1.06518446, -5.98579566),
    "block_move": (0.2, 0.5),
    "least_time": (0.2, 0.5),
    "brachistochrone": (0.143827662, -0.263274769, 8.60614503),
    "bryson_denham": (0.2, 0.5),
    "breakwell": (0.2, 0.5),
    "van_der_pol": (0.396, 0.1),
    "goddard": (0.1, 1.49359441, -4),
    "steering": (0.3, 0.4, 87.7582562, 47.9425539),
    "hanging_chain": (0.5, 0.111803399, 1.11803399),
    "hypersensitive": (0.499,),
    "parking": (0.382134596, 0.118208083, 0.109260498, 0.7),
    "quadrotor": (0.4, 0.5, 0.6, -0.709248496, -7.51719243, -10),
    "acrobot": (0.3, 0.4, -3.96462482, 2.03794093),
}

# Minima by intervals, in the digits of the reference: published, exact, or recomputed by an interior-point method.
MINIMA: list[tuple[str, dict[str, Any], str | Scheme, dict[int, str]]] = [
    ("swingup", {}, TR, {20: "60.682465", 40: "59.325536", 100: "58.896710", 200: "58.830379"}),
    ("swingup", {}, HS, {20: "58.702669", 40: "58.807576", 100: "58.807666", 320: "58.807667"}),
    ("swingup", {"basin": "B"}, TR, {100: "58.122861"}),
    ("swingup", {"basin": "B"}, HS, {40: "57.945022", 100: "57.944785", 200: "57.944781"}),
    ("block_move", {}, TR, {10: "12.46105919", 50: "12.01894185", 100: "12.00476589"}),
    ("block_move", {}, HS, {1: "12.00000000", 10: "12.00000000", 50: "12.00000000"}),
    ("least_time", {}, TR, {50: "2.00080048", 51: "2.00038458", 100: "2.00020004", 200: "2.00005002"}),
    ("least_time", {}, HS, {50: "2.00000000", 51: "2.00012818", 100: "2.00000000"}),
    ("brachistochrone", {}, TR, {20: "1.80213757", 50: "1.80169276", 100: "1.80162588", 200: "1.80160885"}),
    ("brachistochrone", {}, HS, {8: "1.80160474", 20: "1.80160316", 100: "1.80160312"}),
    ("bryson_denham", {}, TR, {50: "4.01379309", 90: "4.00437064", 100: "4.00352671"}),
    ("bryson_denham", {}, HS, {30: "4.00000000", 50: "3.99987587", 90: "4.00000000", 100: "3.99999218"}),
    ("breakwell", {}, TR, {50: "4.46360582", 100: "4.44929975", 200: "4.44566805"}),
    ("breakwell", {}, HS, {50: "4.44444445", 100: "4.44444445"}),
    ("van_der_pol", {}, TR, {75: "5.37642152", 100: "5.33392505", 300: "5.28420990"}),
    ("van_der_pol", {}, HS, {75: "5.27808690", 150: "5.27805670", 300: "5.27805102", 1200: "5.27805092"}),
    ("van_der_pol", {"floor": -0.25}, TR, {100: "3.63160026"}),
    ("van_der_pol", {"floor": -0.25}, HS, {100: "3.61524375", 200: "3.61514289", 800: "3.61518074"}),
    ("goddard", {}, TR, {100: "-1.01283201", 200: "-1.01283567", 400: "-1.01283656"}),
    ("goddard", {}, TR, {800: "-1.01283674", 1600: "-1.01283670"}),
    ("goddard", {}, HS, {100: "-1.01283961"}),
    ("steering", {}, TR, {50: "0.554668765", 100: "0.554595401", 200: "0.554577016", 400: "0.554572414"}),
    ("steering", {}, HS, {50: "0.554570879"}),
    ("hanging_chain", {}, TR, {100: "5.06978461", 199: "5.06892086", 200: "5.06891734", 400: "5.06862170"}),
    ("hanging_chain", {}, TR, {800: "5.06852418"}),
    ("hanging_chain", {}, LINEAR, {50: "5.06848019", 100: "5.06848012", 200: "5.06848011"}),
    ("hypersensitive", {}, TR, {50: "1.71982160", 100: "1.38601605", 200: "1.35632285", 500: "1.33761915"}),
    ("hypersensitive", {}, TR, {1000: "1.33285432"}),
    ("hypersensitive", {}, HS, {50: "1.30824398", 100: "1.33053226", 200: "1.33093461", 500: "1.33081269"}),
    ("hypersensitive", {}, HS, {1000: "1.33080729", 4000: "1.33080691"}),
    ("hypersensitive", {"duration": 40}, HS, {1000: "1.33080706"}),
    ("parking", {}, TR, {50: "2.00435232", 100: "1.99982088", 200: "1.99868073"}),
    ("parking", {}, HS, {40: "1.99827040", 50: "1.99830667", 100: "1.99829998", 200: "1.99830093", 400: "1.99830028"}),
    ("quadrotor", {}, TR, {50: "21.1318914", 100: "21.0962582", 200: "21.0859608"}),
    ("quadrotor", {}, HS, {25: "21.0831178", 50: "21.0822284", 100: "21.0821785", 400: "21.0821753"}),
    ("acrobot", {}, TR, {20: "36.5852199", 40: "35.6909739", 50: "35.4687946", 60: "35.2867680", 100: "35.0664059"}),
    ("acrobot", {}, HS, {20: "34.6711487", 50: "34.8867945", 60: "34.9096247", 80: "34.9182682"}),
]
# Where these are not met: what Ipopt 3.14.19 finds with a tolerance of 1e-12 and bounds as they are, from the same
# guess by the same scheme; the trapezoidal rule for least_time has a closed form, which agrees with it.
SHORT: dict[tuple[str, str, int], str] = {
    ("least_time", TR, 100): "2.00020003",
    ("least_time", TR, 200): "2.00005000",
    ("least_time", HS, 51): "2.00012817",
    ("van_der_pol", HS, 1200): "5.27805090",
    ("van_der_pol", HS, 800): "3.61518072",  # with a floor
    ("goddard", TR, 100): "-1.01283202",
    ("goddard", TR, 200): "-1.01283569",
    ("goddard", TR, 400): "-1.01283661",
    ("goddard", TR, 800): "-1.01283684",
    ("goddard", TR, 1600): "-1.01283690",
    ("goddard", HS, 100): "-1.01283963",
    ("parking", TR, 200): "1.99868072",
    ("parking", HS, 200): "1.99830092",
    ("parking", HS, 400): "1.99830025",
}
REASON = "the reference, of a tolerance of 1e-9, is 1e-8 to 2e-7 above what Ipopt finds with one of 1e-12"
ALL = [(name, given, scheme, count, value) for name, given, scheme, values in MINIMA for count, value in values.items()]


def labelled(case: tuple[str, dict[str, Any], str | Scheme, int, str], value: str, *marks: pytest.MarkDecorator) -> Any:
    name, given, scheme, count, _ = case
    label = "-".join(map(str, (name, *given.values(), scheme, count)))
    return pytest.param(name, given, scheme, count, value, id=label, marks=marks)


CASES = [
    labelled(
        case,
        case[4],
        *([pytest.mark.xfail(strict=True, reason=REASON)] if (case[0], case[2], case[3]) in SHORT else []),
    )
    for case in ALL
]
MET_BY_IPOPT = [
    labelled(case, SHORT[case[0], str(case[2]), case[3]]) for case in ALL if (case[0], case[2], case[3]) in SHORT
]


@cache
def problem(name: str, *given: Any) -> ControlProblem:
    return PROBLEMS[name](*given)


@cache
def solved(name: str, scheme: str | Scheme, intervals: int, *given: Any) -> Solution:
    return problem(name, *given).solve(intervals + 1, scheme, progress=False)


def agree(value: float, wanted: str) -> bool:
    """To half a unit of the last digit, and what a tolerance of 1e-8 leaves."""
    return abs(value - float(wanted)) <= 0.5 * 10.0 ** -len(wanted.partition(".")[2]) + 2e-9 * abs(value)


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_dynamics_at_a_point(name: str) -> None:
    one = PROBLEMS[name]()
    x = torch.arange(1, len(one.stated.states) + 1, dtype=torch.float64) / 10
    u = torch.tensor([0.5, 0.7], dtype=torch.float64)[: len(one.stated.controls)]
    if name == "goddard":
        x, u = torch.tensor([1.01, 0.1, 0.8], dtype=torch.float64), torch.tensor([2.0], dtype=torch.float64)
    torch.testing.assert_close(one.dynamics(x, u), torch.tensor(RATES[name], dtype=torch.float64), rtol=5e-9, atol=0)


@pytest.mark.parametrize(("name", "given", "scheme", "intervals", "value"), CASES)
def test_the_minimum(name: str, given: dict[str, Any], scheme: str | Scheme, intervals: int, value: str) -> None:
    solution = solved(name, scheme, intervals, *given.values())
    assert solution.status is Status.CONVERGED
    assert agree(solution.cost, value), f"{solution.cost:.12f}"


@pytest.mark.parametrize(("name", "given", "scheme", "intervals", "value"), MET_BY_IPOPT)
def test_the_minimum_where_the_reference_falls_short(
    name: str, given: dict[str, Any], scheme: str, intervals: int, value: str
) -> None:
    solution = solved(name, scheme, intervals, *given.values())
    assert solution.status is Status.CONVERGED
    assert agree(solution.cost, value), f"{solution.cost:.12f}"


@pytest.mark.parametrize(
    ("start", "scheme", "values"),
    [
        (50, HS, {100: "34.9177998", 200: "34.9187445", 400: "34.9187819"}),
        (100, TR, {200: "34.9584763"}),
    ],
)
def test_the_acrobot_carried_to_finer_grids(start: int, scheme: str, values: dict[int, str]) -> None:
    solution = solved("acrobot", scheme, start)
    for intervals, value in values.items():
        solution = problem("acrobot").solve(intervals + 1, scheme, guess=solution, progress=False)
        assert solution.status is Status.CONVERGED
        assert solution.iterations <= 10
        assert agree(solution.cost, value)


def test_the_two_ways_to_swing_up() -> None:
    """The longer way round, first to the left, costs less."""
    near, far = solved("swingup", HS, 200), solved("swingup", HS, 200, "B")
    assert float(near.u[0]) == pytest.approx(1.87, abs=5e-3)
    assert float(far.u[0]) == pytest.approx(-6.86, abs=5e-3)
    assert float(far.x[:, 1].min()) == pytest.approx(-1.05, abs=5e-3)


def test_the_swingup_without_force_at_the_end() -> None:
    """As dymos has it, whose optimum 58.8839489745 is stated to 1e-3."""

    def path(x: Tensor, u: Tensor, t: Tensor) -> Tensor:
        limit = torch.where(t < 2 - 1e-9, 20.0, 0.0)
        return torch.stack([limit - u[0], limit + u[0]])

    solution = replace(problem("swingup"), path_constraint=path).solve(41, HS, progress=False)
    assert solution.status is Status.CONVERGED
    assert agree(solution.cost, "58.839249")
    assert solution.cost == pytest.approx(58.8839489745, rel=1e-3)


@pytest.mark.parametrize("intervals", [5, 10, 50])
def test_the_block_by_the_trapezoidal_rule(intervals: int) -> None:
    cost = solved("block_move", TR, intervals).cost
    assert cost == pytest.approx(12 / (1 - 4 / intervals**2 + 3 / intervals**3), rel=1e-9)


def test_the_block_moves_as_a_cubic() -> None:
    solution = solved("block_move", HS, 10)
    t = torch.linspace(0, 1, 37, dtype=torch.float64)
    x, u = solution(t)
    torch.testing.assert_close(x[:, 0], 3 * t**2 - 2 * t**3, rtol=0, atol=1e-9)
    torch.testing.assert_close(u[:, 0], 6 - 12 * t, rtol=0, atol=1e-8)


@pytest.mark.parametrize("distance", [0.25, 1.0, 9.0])
@pytest.mark.parametrize("intervals", [50, 51])
def test_least_times(distance: float, intervals: int) -> None:
    solution = solved("least_time", TR, intervals, distance)
    exact = 2 * sqrt(distance / (1 - (1 if intervals % 2 else 2) / intervals**2))
    assert solution.cost == solution.duration == pytest.approx(exact, rel=1e-8)
    assert float(solution.u[3]) == pytest.approx(1, abs=1e-6)
    assert float(solution.u[-3]) == pytest.approx(-1, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "given", "scheme", "intervals", "order"),
    [
        ("block_move", (), TR, 25, 2),
        ("brachistochrone", (), TR, 25, 2),
        ("brachistochrone", (), HS, 10, 4),
        ("bryson_denham", (), TR, 45, 2),
        ("breakwell", (), TR, 50, 2),
        ("steering", (), TR, 50, 2),
        ("steering", (), HS, 10, 4),
        ("hanging_chain", (), LINEAR, 25, 4),
    ],
)
def test_the_exact_minimum_is_approached_at_the_order_of_the_scheme(
    name: str, given: tuple[Any, ...], scheme: str | Scheme, intervals: int, order: int
) -> None:
    exact = problem(name, *given).optimum
    assert exact is not None
    errors = [abs(solved(name, scheme, count, *given).cost - exact) for count in (intervals, 2 * intervals)]
    assert log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.25)


def test_the_rocket_converges_in_spite_of_its_singular_arc() -> None:
    costs = [solved("goddard", TR, count).cost for count in (100, 200, 400, 800, 1600)]
    changes = [after - before for before, after in pairwise(costs)]
    for before, after in pairwise(changes):
        assert log2(before / after) == pytest.approx(2, abs=0.15)


@pytest.mark.parametrize(
    ("seconds", "digits"),
    [
        pytest.param(
            0.19884185, 1e-8, marks=pytest.mark.xfail(strict=True, reason="Ipopt differs by 8e-6, too"), id="reference"
        ),
        pytest.param(0.19884996, 2e-6, id="Ipopt"),
    ],
)
def test_how_long_the_rocket_flies(seconds: float, digits: float) -> None:
    """The height hardly knows: it is known to the square of this error."""
    assert solved("goddard", TR, 400).duration == pytest.approx(seconds, abs=digits)


def test_ends_of_exact_minima() -> None:
    bead = solved("brachistochrone", HS, 100)
    assert float(bead.x[-1, 2]) == pytest.approx(9.902853, abs=1e-6)
    assert float(bead.u[-1, 0].rad2deg()) == pytest.approx(100.5074, abs=1e-3)
    particle = solved("steering", HS, 50)
    torch.testing.assert_close(particle.u[:, 0].tan(), 1.40850836 - 5.07963332 * particle.t, rtol=0, atol=1e-4)
    chain = problem("hanging_chain").solve(201, LINEAR, progress=False)
    assert float(chain.u[0, 0]) == pytest.approx(-6.0816054, rel=1e-4)
    assert float(chain.u[-1, 0]) == pytest.approx(18.3537051, rel=1e-4)


@pytest.mark.parametrize("limit", [0.05, 1 / 9, 0.2, 0.3])
def test_the_wall_at_other_distances(limit: float) -> None:
    """Rest at the wall, a touch, and no wall at all."""
    one = problem("bryson_denham", limit)
    solution = one.solve(601, HS, progress=False)
    assert solution.cost == pytest.approx(one.optimum, rel=1e-6)


def test_the_same_chain_as_a_sum() -> None:
    solution, sum_ = solved("hanging_chain", TR, 200), hanging(200).solve(progress=False)
    assert solution.cost == pytest.approx(sum_.value, rel=1e-9)
    columns = sum_.x.reshape(-1, 4)
    torch.testing.assert_close(solution.x, columns[:, :3], rtol=0, atol=1e-6)


def test_controls_between_the_nodes_of_the_chain_run_away_where_they_are_free() -> None:
    """The scheme does not see how long the last link is, and finds less than the least."""
    solution = solved("hanging_chain", HS, 30)
    assert solution.cost < 5.0
    assert float(solution.u.max()) > 4 * 18.3537051


def test_a_longer_rest_costs_nothing() -> None:
    assert solved("hypersensitive", HS, 1000, 40).cost == pytest.approx(
        solved("hypersensitive", HS, 1000).cost, rel=1e-6
    )


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: PROBLEMS["swingup"]("C"), "basin: expected 'A' or 'B', got 'C'"),
        (lambda: PROBLEMS["least_time"](0), "distance: expected a positive number"),
        (lambda: PROBLEMS["bryson_denham"](-1), "limit: expected a positive number"),
        (lambda: PROBLEMS["hypersensitive"](float("inf")), "duration: expected a positive number"),
        (lambda: PROBLEMS["van_der_pol"](0.5), "floor: expected a number <= 0"),
    ],
)
def test_arguments_that_make_no_problem(make: Callable[[], ControlProblem], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make()


@pytest.mark.parametrize("name", PROBLEMS)
def test_every_problem_says_what_it_is_and_draws_what_moves(name: str) -> None:
    pytest.importorskip("matplotlib")
    from banded.canvas import new_figure

    one = PROBLEMS[name]()
    assert one.title
    assert one.optimum is not None
    solution = one.solve(21, LINEAR if name == "hanging_chain" else HS, progress=False)
    assert one.scene is not None
    for axes, t in zip(new_figure((6, 3)).subplots(1, 3), (0.0, 0.5, 1.0), strict=True):
        when = t * solution.duration
        x, u = solution(when)
        one.scene(axes, when, x, u)
        assert axes.has_data()
