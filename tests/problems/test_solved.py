"""Problems with bounds and constraints, solved to optima known from elsewhere, in about as many steps as Ipopt."""

from functools import cache
from math import ceil
from typing import Any

import pytest

from banded import Result, Status
from banded.problems import PROBLEMS, Problem
from kkt import assert_optimal

# Optima: exact ones, or what Ipopt and dense or sparse solves of the same formulas agree on. Digits: those that the
# optimum is known to, or that tolerances leave (dtoc3 5000: Σ λ c of 10,000 rows met to 1e-12; lukvli8: Σ ν g).
# Iterations: those of Ipopt 3.14 with MUMPS, tolerance 1e-8, other options at their defaults; None where it fails.
# nonscomp: multipliers of active bounds are zero, f falls slowly; its digits are absolute.
# corkscrw: other minima exist (2.4517501 at T = 10). lukvle8, lukvli8: these are the minima that the start leads to.
SOLVED: list[tuple[str, dict[str, Any], float, float, int | None]] = [
    ("pentdi", {"nodes": 50}, -0.75, 1e-8, 15),
    ("pentdi", {"nodes": 1000}, -0.75, 1e-8, 15),
    ("nonscomp", {"nodes": 25}, 0.0, 1e-6, None),
    ("nonscomp", {"nodes": 1000}, 0.0, 1e-6, 21),
    ("chenhark", {"nodes": 10, "free": 5, "degenerate": 2}, -2.0, 1e-8, 15),
    ("chenhark", {"nodes": 100, "free": 50, "degenerate": 20}, -2.0, 1e-8, 16),
    ("chenhark", {"nodes": 1000, "free": 500, "degenerate": 200}, -2.0, 1e-8, 18),
    ("hager1", {"nodes": 10}, 0.880972218878, 1e-11, 1),
    ("hager1", {"nodes": 50}, 0.880804077793, 1e-11, 1),
    ("hager1", {"nodes": 100}, 0.880798827886, 1e-11, 1),
    ("hager1", {"nodes": 500}, 0.880797147974, 1e-11, 1),
    ("hager1", {"nodes": 1000}, 0.880797095477, 1e-11, 1),
    ("hager1", {"nodes": 5000}, 0.880797078678, 1e-11, 1),
    ("hager3", {"nodes": 10}, 0.141033165209, 1e-11, 1),
    ("hager3", {"nodes": 100}, 0.140961970686, 1e-11, 1),
    ("hager3", {"nodes": 1000}, 0.140961258818, 1e-11, 1),
    ("dtoc3", {"nodes": 10}, 224.590381885, 1e-11, 1),
    ("dtoc3", {"nodes": 50}, 233.278713071, 1e-11, 1),
    ("dtoc3", {"nodes": 100}, 234.287716503, 1e-11, 1),
    ("dtoc3", {"nodes": 500}, 235.084451873, 1e-11, 1),
    ("dtoc3", {"nodes": 1000}, 235.183412085, 1e-11, 1),
    ("dtoc3", {"nodes": 5000}, 235.262481035, 1e-9, 1),
    ("dtoc1l", {"nodes": 10, "nx": 2, "ny": 4}, 0.0735945389381, 1e-10, 9),
    ("dtoc1l", {"nodes": 50, "nx": 2, "ny": 4}, 0.229941875944, 1e-10, 9),
    ("dtoc1l", {"nodes": 100, "nx": 2, "ny": 4}, 0.425368279598, 1e-10, 9),
    ("dtoc1l", {"nodes": 500, "nx": 2, "ny": 4}, 1.98877950883, 1e-10, 9),
    ("dtoc1l", {"nodes": 1000, "nx": 2, "ny": 4}, 3.94304354537, 1e-10, 9),
    ("dtoc1l", {"nodes": 10, "nx": 5, "ny": 10}, 1.14985541430, 1e-10, 6),
    ("dtoc1l", {"nodes": 50, "nx": 5, "ny": 10}, 6.16784672709, 1e-10, 6),
    ("dtoc1l", {"nodes": 100, "nx": 5, "ny": 10}, 12.4399668854, 1e-10, 6),
    ("dtoc1l", {"nodes": 500, "nx": 5, "ny": 10}, 62.6169281523, 1e-10, 6),
    ("dtoc1l", {"nodes": 1000, "nx": 5, "ny": 10}, 125.338129736, 1e-10, 6),
    ("lukvle8", {"nodes": 100}, 8255.05243727, 1e-10, 7),
    ("lukvle8", {"nodes": 1000}, 82605.3777832, 1e-10, 13),
    ("lukvli8", {"nodes": 100}, 7974.60067870, 1e-8, 155),
    ("liswet1", {"nodes": 50, "order": 3}, 0.1224093, 5e-7, 18),
    ("liswet1", {"nodes": 100, "order": 3}, 0.2474970, 5e-7, 22),
    ("liswet1", {"nodes": 400, "order": 2}, 1.452589, 5e-7, 15),
    ("liswet1", {"nodes": 1000, "order": 3}, 2.504493, 5e-7, 39),
    ("liswet1", {"nodes": 2000, "order": 2}, 7.221895, 5e-7, 18),
    ("liswet1", {"nodes": 10_000, "order": 2}, 36.12062, 5e-7, 39),
    ("corkscrw", {"nodes": 10}, 1.1601036, 5e-8, 35),
    ("corkscrw", {"nodes": 50}, 26.4844789, 5e-8, 30),
    ("corkscrw", {"nodes": 100}, 44.3687607, 5e-8, 49),
    ("corkscrw", {"nodes": 500}, 81.8973426, 5e-8, 202),
    ("corkscrw", {"nodes": 1000}, 90.6878240, 5e-8, 281),
    ("optcntrl", {"nodes": 10}, 550.0, 1e-8, 30),
    ("hanging", {"nodes": 100}, 5.06978461, 2e-9, 7),
    ("hanging", {"nodes": 199}, 5.06892086, 2e-9, 7),
    ("hanging", {"nodes": 200}, 5.06891734, 2e-9, 7),
    ("hanging", {"nodes": 400}, 5.06862170, 2e-9, 8),
    ("hanging", {"nodes": 800}, 5.06852418, 2e-9, 302),
]
LABELS = ["-".join(map(str, (name, *sizes.values()))) for name, sizes, *_ in SOLVED]
SLOW = {"liswet1-1000-3": "69 steps for Ipopt's 39, since what multipliers leave to gain has to vanish, too"}


@cache
def solved(case: int) -> tuple[Problem, Result]:
    name, sizes, *_ = SOLVED[case]
    problem = PROBLEMS[name](**sizes)
    return problem, problem.solve()


@pytest.mark.parametrize("case", range(len(SOLVED)), ids=LABELS)
def test_solved_to_the_known_optimum(case: int) -> None:
    *_, optimum, digits, _ = SOLVED[case]
    problem, result = solved(case)
    assert result.status is Status.CONVERGED
    assert result.value == pytest.approx(optimum, rel=digits, abs=digits if optimum == 0 else 0)
    assert_optimal(
        problem.objective, result, equality=problem.equality, inequality=problem.inequality, bounds=problem.bounds
    )


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            number,
            id=label,
            marks=[pytest.mark.xfail(strict=True, reason=SLOW[label])] if label in SLOW else [],
        )
        for number, label in enumerate(LABELS)
        if SOLVED[number][-1] is not None
    ],
)
def test_in_about_as_many_steps_as_ipopt(case: int) -> None:
    ipopt = SOLVED[case][-1]
    assert ipopt is not None
    assert solved(case)[1].iterations <= ceil(1.5 * ipopt)
