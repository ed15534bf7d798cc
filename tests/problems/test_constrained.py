"""Values from S2MPJ, the formulas once more as loops, the structure, and optima that another solver finds."""

from collections.abc import Callable
from itertools import pairwise
from math import inf
from typing import Any

import numpy as np
import pytest
import torch
from loops import (
    Twin,
    chenhark,
    corkscrw,
    dtoc1l,
    dtoc3,
    hager1,
    hager3,
    hanging,
    liswet1,
    lukvle8,
    lukvli8,
    nonscomp,
    optcntrl,
    pentdi,
)
from scipy.optimize import Bounds, minimize
from torch import Tensor

from banded.problems import PROBLEMS, Problem
from banded.problems import problem as problem_module

# of the point x_j = sin(j), j = 1..n: name, arguments, f and Σ c² there
AT_SINES: list[tuple[str, dict[str, Any], float, float]] = [
    ("pentdi", {"nodes": 10}, 17.9681320559, 0),
    ("nonscomp", {"nodes": 25}, 85.33318052, 0),
    ("chenhark", {"nodes": 10, "free": 5, "degenerate": 2}, 3.48307367958, 0),
    ("hager1", {"nodes": 10}, 0.625095637852, 1287.25360923),
    ("hager3", {"nodes": 10}, 0.274395019422, 1283.0358376),
    ("dtoc3", {"nodes": 10}, 1.72928637974, 39.8998821246),
    ("dtoc1l", {"nodes": 10, "nx": 2, "ny": 4}, 33.4990799429, 23.2365364961),
    ("dtoc1l", {"nodes": 10, "nx": 5, "ny": 10}, 110.775978187, 71.7581499918),
    ("lukvle8", {"nodes": 50, "scaled": False}, 6386.31523333, 20.5979641766),
    ("lukvli8", {"nodes": 50, "scaled": False}, 6386.31523333, 20.5979641766),
    ("liswet1", {"nodes": 50, "order": 3}, 23.1707594026, 19.5293238215),
    ("corkscrw", {"nodes": 10}, 99.9031353351, 186.207012371),
    ("optcntrl", {"nodes": 10}, 1.27226866407, 46.9570484976),
]
AT_START = [
    ("pentdi", 10, 0),
    ("nonscomp", 25, 3460),
    ("nonscomp", 1000, 143860),
    ("chenhark", 10, 1),
    ("chenhark", 1000, 149.5),
    ("hager3", 10, 0.0078125),
    ("dtoc1l", 10, 1.28125),
    ("lukvle8", 50, 28559.3438844),
    ("lukvle8", 1000, 571186.877688),
    ("liswet1", 50, 13.4824484782),
    ("liswet1", 1000, 253.28149576),
    ("corkscrw", 10, 15),
    ("optcntrl", 10, 50),  # CUTEst's start has x_0 = 0 in place of 10, and f = 0
]


# name, twin, arguments
CASES: list[tuple[str, Callable[..., Twin], tuple[Any, ...]]] = [
    *[("pentdi", pentdi, (n,)) for n in (4, 6, 10, 30)],
    *[("nonscomp", nonscomp, (n,)) for n in (2, 3, 10, 31)],
    *[("chenhark", chenhark, sizes) for sizes in ((10, 5, 2), (30, 15, 6), (4, 4, 0), (7, 2, 5))],
    *[("hager1", hager1, (n,)) for n in (1, 2, 13)],
    *[("hager3", hager3, (n,)) for n in (1, 2, 13)],
    *[("dtoc3", dtoc3, (n,)) for n in (2, 3, 13)],
    *[("dtoc1l", dtoc1l, sizes) for sizes in ((2,), (7,), (5, 5, 10), (4, 1, 1), (4, 3, 2))],
    *[("lukvle8", lukvle8, sizes) for sizes in ((5,), (30,), (30, False))],
    *[("lukvli8", lukvli8, sizes) for sizes in ((5,), (30,), (30, False))],
    *[("liswet1", liswet1, sizes) for sizes in ((1,), (20,), (20, 2), (3, 6))],
    *[("corkscrw", corkscrw, (n,)) for n in (2, 3, 11)],
    *[("optcntrl", optcntrl, (n,)) for n in (2, 10, 15)],
    *[("hanging", hanging, (n,)) for n in (2, 3, 12)],
]
NAMES = list(dict.fromkeys(name for name, _, _ in CASES))


def values(function: Callable[[Any], Tensor] | None, x: Tensor) -> Tensor:
    """Of a constraint that may be missing, `(m,)`."""
    return x.new_zeros(0) if function is None else function(x)


def limits(problem: Problem) -> tuple[Tensor, Tensor]:
    """Lower and upper bounds, `(n,)` each."""
    lower, upper = problem.bounds or (None, None)
    like: Tensor = problem.start
    return (
        torch.zeros_like(like) + (-inf if lower is None else lower),
        torch.zeros_like(like) + (inf if upper is None else upper),
    )


@pytest.mark.parametrize(("name", "arguments", "f", "c"), AT_SINES)
def test_values_at_sines(name: str, arguments: dict[str, Any], f: float, c: float) -> None:
    problem = PROBLEMS[name](**arguments)
    sines = torch.arange(1, problem.start.numel() + 1, dtype=torch.float64).sin()
    rows = torch.cat([values(problem.equality, sines), values(problem.inequality, sines)])
    assert float(problem.objective(sines)) == pytest.approx(f, rel=1e-11, abs=0)
    assert float(rows.square().sum()) == pytest.approx(c, rel=1e-11, abs=0)


@pytest.mark.parametrize(("name", "n", "value"), AT_START)
def test_value_at_the_start(name: str, n: int, value: float) -> None:
    problem = PROBLEMS[name](n)
    assert float(problem.objective(problem.start)) == pytest.approx(value, rel=1e-11, abs=0)


@pytest.mark.parametrize(("name", "twin", "arguments"), CASES)
def test_values_are_those_of_loops(name: str, twin: Callable[..., Twin], arguments: tuple[Any, ...]) -> None:
    problem = PROBLEMS[name](*arguments)
    x = torch.randn_like(problem.start)
    f, c, g = twin(dict(enumerate(x.tolist(), start=1)), *arguments)
    assert float(problem.objective(x)) == pytest.approx(f, rel=1e-12)
    np.testing.assert_allclose(values(problem.equality, x), c, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(values(problem.inequality, x), g, rtol=1e-11, atol=1e-10 if "luk" in name else 1e-12)


# the unknowns in place of the bounds' indices: name, size, fixed ones, lower bounds, upper bounds; from 1
LIMITS: list[tuple[str, int, dict[int, float], dict[int, float], dict[int, float]]] = [
    ("pentdi", 6, {}, dict.fromkeys(range(1, 7), 0), {}),
    ("nonscomp", 5, {}, {1: 1, 2: -100, 3: 1, 4: -100, 5: 1}, dict.fromkeys(range(1, 6), 100)),
    ("chenhark", 6, {}, dict.fromkeys(range(1, 7), 0), {}),
    ("liswet1", 6, {}, {}, {}),
    ("lukvle8", 5, {}, {}, {}),
    ("lukvli8", 5, {}, {}, {}),
    ("hager1", 3, {1: 1}, {}, {}),
    ("hager3", 3, {1: 1}, {}, {}),
    ("dtoc3", 4, {1: 15, 2: 5}, {}, {}),
    ("dtoc1l", 3, {1: 0, 2: 0, 3: 0, 4: 0}, {}, {}),
    (
        "corkscrw",
        2,
        {1: 0, 2: 0, 3: 1, 4: 0, 5: 0, 6: 0, 22: 0, 23: 0, 24: 0},
        {**dict.fromkeys((7, 8, 9, 16, 17, 18), -5), 10: 0, 19: 0},
        {**dict.fromkeys((7, 8, 9, 16, 17, 18), 5), 10: 10, 19: 10},
    ),
    ("optcntrl", 2, {1: 10, 2: 0, 8: 0}, {3: -0.2, 5: -1, 6: -0.2, 7: 0}, {3: 0.2, 6: 0.2}),
    ("hanging", 2, {1: 1, 2: 0, 3: 0, 9: 3, 11: 4}, {}, {}),
]


@pytest.mark.parametrize(("name", "nodes", "fixed", "least", "greatest"), LIMITS)
def test_bounds(
    name: str, nodes: int, fixed: dict[int, float], least: dict[int, float], greatest: dict[int, float]
) -> None:
    problem = PROBLEMS[name](nodes)
    lower, upper = limits(problem)
    indices = range(1, len(lower) + 1)
    assert lower.tolist() == [{**least, **fixed}.get(i, -inf) for i in indices]
    assert upper.tolist() == [{**greatest, **fixed}.get(i, inf) for i in indices]
    assert bool((lower <= problem.start).all())
    assert bool((problem.start <= upper).all())


# name, arguments, half-bandwidth of the Lagrangian's Hessian, last less first column in a row of the Jacobian
SPANS: list[tuple[str, dict[str, Any], int, int]] = [
    ("pentdi", {"nodes": 12}, 2, 0),
    ("nonscomp", {"nodes": 12}, 1, 0),
    ("chenhark", {"nodes": 12}, 2, 0),
    ("hager1", {"nodes": 6}, 0, 2),
    ("hager3", {"nodes": 6}, 2, 2),
    ("dtoc3", {"nodes": 6}, 0, 4),
    ("dtoc1l", {"nodes": 5}, 0, 7),
    ("dtoc1l", {"nodes": 4, "nx": 5, "ny": 10}, 0, 16),
    ("lukvle8", {"nodes": 20}, 4, 2),
    ("lukvli8", {"nodes": 20}, 4, 2),
    ("liswet1", {"nodes": 12}, 0, 3),
    ("liswet1", {"nodes": 12, "order": 2}, 0, 2),
    ("corkscrw", {"nodes": 4}, 2, 12),
    ("optcntrl", {"nodes": 10}, 0, 4),
    ("hanging", {"nodes": 5}, 3, 7),
]


@pytest.mark.parametrize(("name", "arguments", "bandwidth", "span"), SPANS)
def test_what_is_coupled_is_close(name: str, arguments: dict[str, Any], bandwidth: int, span: int) -> None:
    problem = PROBLEMS[name](**arguments)
    x = torch.randn_like(problem.start)

    def constraints(x: Tensor) -> Tensor:
        return torch.cat([values(problem.equality, x), values(problem.inequality, x)])

    multipliers = torch.randn_like(constraints(x))
    hessian = torch.func.hessian(lambda x: problem.objective(x) + multipliers @ constraints(x))(x)
    assert max(abs(i - j) for i, j in hessian.nonzero().tolist()) == bandwidth
    columns = [row.nonzero().flatten().tolist() for row in torch.func.jacrev(constraints)(x)]
    assert max((max(row) - min(row) for row in columns), default=0) == span
    # one equation after another, and one inequality after another, in time
    for function in filter(None, (problem.equality, problem.inequality)):
        first = [min(row.nonzero().flatten().tolist()) for row in torch.func.jacrev(function)(x)]
        assert all(later >= earlier - span for earlier, later in pairwise(first))


@pytest.mark.parametrize("name", NAMES)
def test_derivatives_pass_through_vmap_and_twice_backward(name: str) -> None:
    problem = PROBLEMS[name](10)
    x = torch.randn(3, problem.start.numel(), dtype=torch.float64)
    for function in filter(None, (problem.objective, problem.equality, problem.inequality)):
        batch = torch.func.vmap(function)(x)
        torch.testing.assert_close(batch, torch.stack([function(one) for one in x]))

        def scalar(x: Tensor, function: Callable[[Any], Tensor] = function) -> Tensor:
            return function(x).square().sum()

        twice_backward = torch.func.jacrev(torch.func.jacrev(scalar))(x[0])
        torch.testing.assert_close(twice_backward, torch.func.hessian(scalar)(x[0]))


@pytest.mark.parametrize("name", NAMES)
def test_defaults(name: str) -> None:
    problem = PROBLEMS[name]()
    assert problem.start.dtype == torch.float64
    assert problem.start.ndim == 1
    assert problem.bandwidth is None
    assert problem.optimum is not None
    assert problem.title.startswith("hanging chain, " if name == "hanging" else f"{name.upper()}, ")
    for function in filter(None, (problem.equality, problem.inequality)):
        assert function(problem.start).dtype == torch.float64
        assert function(problem.start).ndim == 1
    lower, upper = limits(problem)
    assert lower.dtype == upper.dtype == torch.float64


LEAST = dict.fromkeys(NAMES, 2) | {"pentdi": 4, "lukvle8": 5, "lukvli8": 5, "hager1": 1, "hager3": 1, "liswet1": 1}


@pytest.mark.parametrize("name", NAMES)
def test_too_few_nodes(name: str) -> None:
    for nodes in (LEAST[name] - 1, 0, -5):
        with pytest.raises(ValueError, match=f"nodes: expected .*at least {LEAST[name]}, got {nodes}"):
            PROBLEMS[name](nodes)


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("pentdi", {"nodes": 9}, "nodes: expected a multiple of 2, at least 4, got 9"),
        ("lukvle8", {"nodes": 12}, "nodes: expected a multiple of 5, at least 5, got 12"),
        ("lukvli8", {"nodes": 12}, "nodes: expected a multiple of 5, at least 5, got 12"),
        ("liswet1", {"order": 0}, "order: expected at least 1, got 0"),
        ("dtoc1l", {"nx": 0}, "nx: expected at least 1, got 0"),
        ("dtoc1l", {"ny": -1}, "ny: expected at least 1, got -1"),
        ("chenhark", {"free": 1}, "free: expected at least 2, got 1"),
        ("chenhark", {"degenerate": -1}, "degenerate: expected at least 0, got -1"),
        ("chenhark", {"nodes": 9, "free": 5, "degenerate": 5}, r"expected at most nodes = 9, got 5 \+ 5"),
    ],
)
def test_sizes_that_do_not_fit(name: str, arguments: dict[str, int], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        PROBLEMS[name](**arguments)


@pytest.mark.parametrize(("name", "ends"), [("pentdi", 6), ("optcntrl", 9), ("hager3", 11), ("hanging", 201)])
def test_optimum_is_none_where_it_is_not_known(name: str, ends: int) -> None:
    assert PROBLEMS[name](ends).optimum is None


def test_scaled_equations_of_lukvle8_are_those_of_the_second_derivative() -> None:
    x = torch.randn(50, dtype=torch.float64)
    for name, sign in (("lukvle8", 1), ("lukvli8", -1)):
        plain, scaled = (PROBLEMS[name](50, scaled=scaled) for scaled in (False, True))
        c, d = (values(p.equality if sign > 0 else p.inequality, x) for p in (plain, scaled))
        torch.testing.assert_close(d, 51**2 * c)
        assert float(plain.objective(x)) == float(scaled.objective(x))


def test_optimum_of_chenhark_is_where_it_was_put() -> None:
    """The gradient is 0 at s, but 1 in the unknowns at a bound that are not degenerate."""
    for n, free, degenerate in ((10, 5, 2), (100, 50, 20), (12, 12, 0), (9, 2, 7), (2, 2, 0)):
        problem = PROBLEMS["chenhark"](n, free, degenerate)
        i = torch.arange(1, n + 1)
        s = (i <= free).double()
        gradient = torch.func.grad(problem.objective)(s)
        torch.testing.assert_close(gradient, (i > free + degenerate).double())
        assert float(problem.objective(s)) == pytest.approx(-2, rel=1e-12)


def test_columns_of_the_hanging_chain() -> None:
    problem = PROBLEMS["hanging"](8)
    series = problem.series(problem.start)
    assert list(series) == ["s", "height", "energy", "length", "slope"]
    assert [series[name][0].item() for name in series] == [0, 1, 0, 0, -2]
    assert [series[name][-1].item() for name in series] == [1, 3, 18, 4, 6]


def test_solve_passes_on_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def record(f: object, x0: object, **options: object) -> dict[str, object]:
        return options

    monkeypatch.setattr(problem_module, "minimize", record)
    f, x = (lambda x: x.sum()), torch.zeros(2)
    given: Any = Problem(f, x).solve(progress=False)
    assert given == {"bandwidth": None, "progress": False}
    limited = Problem(f, x, inequality=torch.sin, bounds=(0.0, None), bandwidth=1)
    given = limited.solve()
    assert given == {"bandwidth": 1, "inequality": torch.sin, "bounds": (0.0, None)}


# by SciPy's SLSQP from the start: name, size, digits
BY_SLSQP = [
    ("pentdi", 50, 1e-9),
    ("nonscomp", 25, 1e-9),
    ("chenhark", 10, 1e-9),
    ("hager1", 10, 1e-11),
    ("hager3", 10, 1e-11),
    ("dtoc3", 10, 1e-11),
    ("dtoc1l", 10, 1e-11),
    ("liswet1", 50, 1e-6),  # as printed
    ("optcntrl", 10, 1e-9),
]


@pytest.mark.parametrize(("name", "nodes", "digits"), BY_SLSQP)
def test_another_solver_agrees_on_the_optimum(name: str, nodes: int, digits: float) -> None:
    problem = PROBLEMS[name](nodes)
    found, violation = slsqp(problem)
    assert violation < 1e-9
    assert found == pytest.approx(problem.optimum, rel=digits, abs=1e-9)


def slsqp(problem: Problem) -> tuple[float, float]:
    """Minimum and violation of the constraints, from dense derivatives; what is fixed is left out."""
    lower, upper = limits(problem)
    moving = (lower < upper).nonzero().flatten()

    def of_moving(function: Callable[[Any], Tensor]) -> Callable[[Tensor], Tensor]:
        return lambda z: function(problem.start.index_copy(0, moving, z))

    def numbers(function: Callable[[Tensor], Tensor]) -> Callable[[Any], Any]:
        return lambda z: function(torch.from_numpy(z)).numpy()

    def constraint(kind: str, function: Callable[[Any], Tensor]) -> dict[str, Any]:
        inner = of_moving(function)
        return {"type": kind, "fun": numbers(inner), "jac": numbers(torch.func.jacrev(inner))}

    given = {"eq": problem.equality, "ineq": problem.inequality}
    rows = [constraint(kind, function) for kind, function in given.items() if function is not None]
    f = of_moving(problem.objective)
    result = minimize(
        numbers(f),
        problem.start[moving].numpy(),
        jac=numbers(torch.func.grad(f)),
        bounds=Bounds(lower[moving].numpy(), upper[moving].numpy()),
        constraints=rows,
        method="SLSQP",
        options={"maxiter": 1000, "ftol": 1e-14},
    )
    over = [abs(row["fun"](result.x)) if row["type"] == "eq" else -row["fun"](result.x) for row in rows]
    return result.fun, max((float(one.max()) for one in over), default=0.0)
