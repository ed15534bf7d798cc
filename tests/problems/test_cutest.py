"""Values from S2MPJ, the formulas once more as loops, and the optima."""

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor

import banded
from banded.problems import PROBLEMS, Problem, dixmaan

Point = Mapping[int, float]  # x[1] to x[n]: other indices raise

# of the point x_j = sin(j), j = 1..n, and of the start: name, n, f there
AT_SINES = [
    ("tridia", 10, 76.2655021701),
    ("dixon3dq", 10, 6.54280786812),
    ("bdqrtic", 10, 368.451574689),
    ("genrose", 10, 650.5979257),
    ("engval1", 10, 29.6110355676),
    ("liarwhd", 10, 21.337256889),
    ("broydn3dls", 10, 18.3357016638),
    ("curly10", 15, -403.833868083),
    ("dixmaana1", 15, 8.61903773956),
    ("dixmaane1", 15, 5.14477563174),
    ("dixmaani1", 15, 3.93430278865),
]
AT_START = [
    ("tridia", 10, 54),
    ("tridia", 1000, 500499),
    ("dixon3dq", 10, 8),
    ("dixon3dq", 1000, 8),
    ("bdqrtic", 10, 1356),
    ("bdqrtic", 1000, 225096),
    ("genrose", 10, 78.3297588963),
    ("genrose", 1000, 3703.2681984),
    ("engval1", 10, 531),
    ("engval1", 1000, 58941),
    ("liarwhd", 10, 5850),
    ("liarwhd", 1000, 585000),
    ("broydn3dls", 10, 21),
    ("broydn3dls", 1000, 1011),
    ("curly10", 15, -7.59274998844e-4),
    ("curly10", 1000, -0.0630164821574),
    ("dixmaana1", 15, 143.5),
    ("dixmaana1", 1500, 14251),
    ("dixmaane1", 15, 113.5),
    ("dixmaane1", 1500, 11044.75),
    ("dixmaani1", 15, 103.166666667),
    ("dixmaani1", 1500, 10012.2875),
]
# name, n, least value, half-bandwidth and border
SOLVED = [
    ("tridia", 100, 0, 1, 0),
    ("dixon3dq", 100, 0, 1, 0),
    ("bdqrtic", 100, 378.769191809, 3, 1),
    ("bdqrtic", 500, 1981.01308459, 3, 1),
    ("bdqrtic", 1000, 3983.81795058, 3, 1),
    ("genrose", 100, 1, 1, 0),
    ("engval1", 50, 53.5822148852, 1, 0),
    ("engval1", 100, 109.088136143, 1, 0),
    ("engval1", 1000, 1108.19471879, 1, 0),
    ("liarwhd", 100, 0, 0, 1),
    ("broydn3dls", 100, 0, 2, 0),
    ("curly10", 100, -10031.6290241, 10, 0),
    ("curly10", 1000, -100316.290241, 10, 0),
]
WEIGHTS: tuple[tuple[float, ...], ...] = ((0, 1 / 8, 1 / 8), (1 / 16,) * 3, (1 / 8,) * 3, (0.26,) * 3)  # b, g, d
POWERS = {"a1 b c d": (0, 0, 0, 0), "e1 f g h": (1, 0, 0, 1), "i1 j k l": (2, 0, 0, 2), "m1 n o p": (2, 1, 1, 2)}
DIXMAAN: dict[str, tuple[float, ...]] = {  # b, g, d, k1, k2, k3, k4
    f"dixmaan{letter}": (*weights, *powers)
    for letters, powers in POWERS.items()
    for letter, weights in zip(letters.split(), WEIGHTS, strict=True)
}


def tridia(x: Point, n: int) -> float:
    return (x[1] - 1) ** 2 + sum(i * (2 * x[i] - x[i - 1]) ** 2 for i in range(2, n + 1))


def dixon3dq(x: Point, n: int) -> float:
    return (x[1] - 1) ** 2 + sum((x[i] - x[i + 1]) ** 2 for i in range(2, n)) + (x[n] - 1) ** 2


def bdqrtic(x: Point, n: int) -> float:
    total = 0.0
    for i in range(1, n - 3):
        total += (3 - 4 * x[i]) ** 2
        total += (x[i] ** 2 + 2 * x[i + 1] ** 2 + 3 * x[i + 2] ** 2 + 4 * x[i + 3] ** 2 + 5 * x[n] ** 2) ** 2
    return total


def genrose(x: Point, n: int) -> float:
    return 1 + sum(100 * (x[i] - x[i - 1] ** 2) ** 2 + (x[i] - 1) ** 2 for i in range(2, n + 1))


def engval1(x: Point, n: int) -> float:
    return sum((x[i] ** 2 + x[i + 1] ** 2) ** 2 + 3 - 4 * x[i] for i in range(1, n))


def liarwhd(x: Point, n: int) -> float:
    return sum(4 * (x[i] ** 2 - x[1]) ** 2 + (x[i] - 1) ** 2 for i in range(1, n + 1))


def broydn3dls(x: Point, n: int) -> float:
    padded = {**x, 0: 0.0, n + 1: 0.0}
    return sum(((3 - 2 * x[i]) * x[i] - padded[i - 1] - 2 * padded[i + 1] + 1) ** 2 for i in range(1, n + 1))


def curly10(x: Point, n: int) -> float:
    total = 0.0
    for i in range(1, n + 1):
        q = sum(x[j] for j in range(i, min(i + 10, n) + 1))
        total += q * (q * (q**2 - 20) - 0.1)
    return total


def dixmaan_twin(name: str) -> Callable[[Point, int], float]:
    b, g, d, k1, k2, k3, k4 = DIXMAAN[name]

    def f(x: Point, n: int) -> float:
        m, total = n // 3, 1.0
        for i in range(1, n + 1):
            total += (i / n) ** k1 * x[i] ** 2
        for i in range(1, n):
            total += b * (i / n) ** k2 * x[i] ** 2 * (x[i + 1] + x[i + 1] ** 2) ** 2
        for i in range(1, 2 * m + 1):
            total += g * (i / n) ** k3 * x[i] ** 2 * x[i + m] ** 4
        for i in range(1, m + 1):
            total += d * (i / n) ** k4 * x[i] * x[i + 2 * m]
        return total

    return f


TWINS: dict[str, Callable[[Point, int], float]] = {
    "tridia": tridia,
    "dixon3dq": dixon3dq,
    "bdqrtic": bdqrtic,
    "genrose": genrose,
    "engval1": engval1,
    "liarwhd": liarwhd,
    "broydn3dls": broydn3dls,
    "curly10": curly10,
    **{name: dixmaan_twin(name) for name in DIXMAAN},
}


def at(problem: Problem, x: Tensor) -> float:
    return float(problem.objective(x))


@pytest.mark.parametrize(("name", "n", "value"), AT_SINES)
def test_value_at_sines(name: str, n: int, value: float) -> None:
    sines = torch.arange(1, n + 1, dtype=torch.float64).sin()
    assert at(PROBLEMS[name](n), sines) == pytest.approx(value, rel=1e-11, abs=0)


@pytest.mark.parametrize(("name", "n", "value"), AT_START)
def test_value_at_the_start(name: str, n: int, value: float) -> None:
    problem = PROBLEMS[name](n)
    assert at(problem, problem.start) == pytest.approx(value, rel=1e-11, abs=0)


@pytest.mark.parametrize("name", TWINS)
@pytest.mark.parametrize("n", [6, 12, 33])
def test_value_is_that_of_a_loop(name: str, n: int) -> None:
    x = torch.randn(n, dtype=torch.float64)
    twin = TWINS[name](dict(enumerate(x.tolist(), start=1)), n)
    assert at(PROBLEMS[name](n), x) == pytest.approx(twin, rel=1e-12)


@pytest.mark.parametrize(("name", "least"), [(name, 5 if name == "bdqrtic" else 2) for name in TWINS])
def test_smallest_sizes(name: str, least: int) -> None:
    """What is refused, and that the smallest size is right, too."""
    if name in DIXMAAN:
        least = 3
        for n in (2, 4, 1000):
            with pytest.raises(ValueError, match=f"nodes: expected a multiple of 3, at least 3, got {n}"):
                PROBLEMS[name](n)
    for n in (least - 1, 0, -3):
        with pytest.raises(ValueError, match=f"nodes: expected .*at least {least}, got {n}"):
            PROBLEMS[name](n)
    x = torch.randn(least, dtype=torch.float64)
    twin = TWINS[name](dict(enumerate(x.tolist(), start=1)), least)
    assert at(PROBLEMS[name](least), x) == pytest.approx(twin, rel=1e-12)
    assert PROBLEMS[name](least).solve(progress=False).success


@pytest.mark.parametrize("kind", ["Q", "a", ""])
def test_there_are_sixteen_dixmaans(kind: str) -> None:
    assert set(DIXMAAN) == {name for name in PROBLEMS if "dixmaan" in name}
    with pytest.raises(ValueError, match=f"kind: expected a letter from A to P, got '{kind}'"):
        dixmaan(kind=kind)


@pytest.mark.parametrize("name", TWINS)
def test_every_problem_is_in_float64_and_leaves_its_structure_to_be_found(name: str) -> None:
    problem = PROBLEMS[name]()
    assert problem.start.dtype == torch.float64
    assert problem.bandwidth is None
    assert problem.title.startswith(f"{name.upper()}, ")


@pytest.mark.parametrize("name", ["tridia", "dixon3dq", "genrose", "liarwhd", *DIXMAAN])
def test_optimum_where_its_place_is_known(name: str) -> None:
    problem, i = PROBLEMS[name](30), torch.arange(1, 31, dtype=torch.float64)
    x = 2 ** (1 - i) if name == "tridia" else torch.full_like(i, 0.0 if name in DIXMAAN else 1.0)
    assert at(problem, x) == problem.optimum


@pytest.mark.parametrize(("name", "n", "least", "bandwidth", "border"), SOLVED)
def test_solves_to_the_optimum(name: str, n: int, least: float, bandwidth: int, border: int) -> None:
    problem = PROBLEMS[name](n)
    plan = banded.plan(problem.objective, problem.start)
    assert (plan.bandwidth, plan.border) == (bandwidth, border)
    result = banded.minimize(plan, problem.start)
    assert result.success
    assert result.value == pytest.approx(least, rel=1e-11, abs=1e-12)
    assert problem.optimum == pytest.approx(least, rel=1e-11, abs=0)


@pytest.mark.parametrize("name", DIXMAAN)
def test_dixmaan_solves_in_an_order_of_its_own(name: str) -> None:
    """In the natural order the half-bandwidth is 60."""
    problem = PROBLEMS[name](90)
    plan = banded.plan(problem.objective, problem.start)
    assert plan.bandwidth <= (2 if name.endswith("1") else 16)
    result = banded.minimize(plan, problem.start)
    assert result.success
    assert result.value == pytest.approx(1, rel=1e-11)


LARGE = [(name, 999) for name in DIXMAAN] + [
    (name, n)
    for name, sizes in {
        "tridia": (1000, 10_000),
        "dixon3dq": (1000, 10_000),
        "bdqrtic": (1000,),
        "genrose": (1000,),
        "engval1": (1000,),
        "liarwhd": (1000, 10_000),
        "broydn3dls": (1000, 10_000),
        "curly10": (1000, 10_000),
    }.items()
    for n in sizes
]


@pytest.mark.parametrize(("name", "n"), LARGE)
def test_large_ones_reach_their_optima(name: str, n: int) -> None:
    problem = PROBLEMS[name](n)
    result = problem.solve()
    assert result.success
    assert problem.optimum is not None
    assert result.value == pytest.approx(problem.optimum, rel=1e-8, abs=1e-8)


@pytest.mark.parametrize("name", ["bdqrtic", "engval1"])
def test_optimum_is_none_where_nobody_has_published_it(name: str) -> None:
    assert PROBLEMS[name](77).optimum is None
