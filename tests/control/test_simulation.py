"""Where controls lead, held against closed forms."""

from dataclasses import replace

import pytest
import torch
from moves import SCHEMES, block, effort, pendulum

import banded
from banded.problems import swingup


@pytest.mark.parametrize("scheme", ["hermite-simpson", "rk4"])
def test_the_block_moves_as_its_closed_form_says(scheme: str) -> None:
    found = block().solve(11, scheme).simulate()
    t = found.t
    torch.testing.assert_close(found.x[:, 0], 3 * t**2 - 2 * t**3, atol=1e-9, rtol=0)
    torch.testing.assert_close(found.x[:, 1], 6 * t - 6 * t**2, atol=1e-9, rtol=0)
    assert found.cost == pytest.approx(12, abs=1e-8)
    assert found.gap < 1e-9
    assert "position" in str(found) or "speed" in str(found)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_it_follows_the_polynomials_of_the_controls(scheme: str) -> None:
    """A double integrator under Σ c_q τ^q moves by h Σ c_q / (q + 1) and h² Σ c_q / ((q + 1) (q + 2))."""
    solution = block(control_bounds=(-5, 5)).solve(9, scheme)
    found = solution.simulate(1e-12)
    position, speed = 0.0, 0.0
    for k, h in enumerate(solution.t.diff().tolist()):
        c = solution.curves.u[k, :, 0].tolist()
        position += h * speed + h * h * sum(one / ((q + 1) * (q + 2)) for q, one in enumerate(c))
        speed += h * sum(one / (q + 1) for q, one in enumerate(c))
        assert found.x[k + 1].tolist() == pytest.approx([position, speed], abs=1e-10)


def test_more_nodes_lead_closer_to_the_plan() -> None:
    coarse, fine = (pendulum(control_bounds=None).solve(nodes).simulate() for nodes in (20, 80))
    assert 0 < 4 * fine.gap < coarse.gap
    torch.testing.assert_close(coarse.differences, coarse.x - coarse.planned)
    assert float(coarse.end.max()) == coarse.gap


def test_time_parameters_and_the_final_cost_are_known() -> None:
    problem = banded.ControlProblem(
        dynamics=lambda x, u, t, p: torch.stack([p[0] * t + u[0]]),
        states=1,
        controls=1,
        parameters=("gain",),
        parameter_bounds=(3, 3),
        running_cost=lambda x, u, t: 2 * t + u[0] ** 2,
        final_cost=lambda x, t, p: x[0] + t + p[0],
        initial_state=[0],
        control_bounds=(0, 0),
        duration=2.0,
        initial_time=1.0,
    )
    found = problem.solve(5).simulate()
    assert found.x[:, 0].tolist() == pytest.approx((1.5 * (found.t**2 - 1)).tolist(), abs=1e-9)
    assert found.cost == pytest.approx(8 + 12 + 3 + 3, abs=1e-8)


def test_what_runs_away_is_told() -> None:
    problem = banded.ControlProblem(
        dynamics=lambda x, u: x**2 + u, states=1, controls=1, running_cost=effort, initial_state=[0.1]
    )
    solution = problem.solve(11)
    found = replace(solution, x=solution.x + 3).simulate()
    assert found.gap == torch.inf
    assert bool(found.x[-1].isnan().all())
    assert "broke off after t = 0.3" in str(found)


def test_errors_say_what_to_do() -> None:
    solution = block().solve(5)
    with pytest.raises(ValueError, match=r"Solution\.load\(path, problem=\.\.\.\) tells it"):
        replace(solution, problem=None).simulate()
    with pytest.raises(ValueError, match="rtol: expected"):
        solution.simulate(0)


def test_errors_are_local_and_explanations_say_so() -> None:
    """The pole falls: what intervals add grows more than tenfold."""
    found = swingup().solve(60)
    assert found.accuracy < 1e-3
    assert found.simulate().gap > 0.05 > 10 * float(found.error.sum())
    assert "That is local: solution.simulate() tells how far from the plan it carries the motion" in found.explain()
