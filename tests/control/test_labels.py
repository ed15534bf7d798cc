"""Names of unknowns and equations."""

import torch
from moves import SCHEMES, hasty, pendulum

from banded.control.labels import Clock, Names
from banded.control.programme import Programme
from banded.control.schemes import scheme_of
from banded.control.setup import Setup


def test_times_and_nodes() -> None:
    clock = Clock(torch.tensor([0, 0.1, 0.5, 1.0], dtype=torch.float64), 2.0, 4.0)
    assert clock.place(0.5) == "at node 2 (t = 4)"
    assert clock.place(0.5 + 1e-15, "from") == "from node 2 (t = 4)"
    assert clock.place(0.3) == "after node 1 (t = 3.2)"
    assert clock.place(1.0) == "at node 3 (t = 6)"
    assert Clock(clock.grid, 2.0, None).place(0.5) == "at node 2 (at 50 % of the duration)"


def test_every_unknown_and_every_row_has_a_name() -> None:
    for scheme in SCHEMES:
        problem = pendulum(
            duration=4.0, periodic=("turn",), path_constraint=lambda x, u: torch.stack([9 - x[0], 9 + x[0]])
        )
        setup = Setup(problem.stated, torch.linspace(0, 1, 6, dtype=torch.float64), scheme_of(scheme))
        plan = Programme([setup]).transcription(torch.zeros(setup.n, dtype=torch.float64), False, {})
        names = [plan.layout.label(i) for i in range(plan.n)]
        assert names[:2] == ["angle at node 0 (t = 0)", "turn at node 0 (t = 0)"]
        assert "angle at node 5 (t = 4)" in names
        rows = [plan.constraints.label(i) for i in range(plan.m)]
        assert rows[3] == "dynamics of turn from node 1 (t = 0.8)"
        assert "periodicity of turn at node 5 (t = 4)" in rows
        assert len(set(rows)) == plan.m
        assert rows[-1].startswith("path constraint 1 a")
        between = "after node 3 (t = 2.8)"
        if setup.scheme.between:
            assert {f"angle {between}", f"force {between}"} <= set(names)
            assert {f"middle state of angle {between}", f"path constraint 0 {between}"} <= set(rows)


def test_the_duration_that_was_found_is_told() -> None:
    solution = hasty().solve(21, "euler")
    assert solution.result is not None
    conditions = solution.result.conditions
    assert conditions is not None
    assert isinstance(conditions.layout, Names)
    assert conditions.layout.label(int(conditions.layout.of("force")[10])) == "force at node 10 (t = 1)"
    assert "duration" in [place.name for place in conditions.layout.told]
    assert "(t = 1.4)" in solution.result.explain()
