"""Guesses for problems of several phases, and what their solutions tell."""

from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch
from moves import block, halves, staged, whole

from banded import FileFormatError, NonFiniteError, PhasedSolution, Phases, Solution, Status


def test_batches_of_first_and_last_states() -> None:
    states = torch.tensor([[0, 0], [0.1, 0.2], [-0.1, 0.1]], dtype=torch.float64)
    many = halves().solve((9, 13), initial_state=states)
    assert many.success.tolist() == [True] * 3
    assert repr(many) == "<PhasedSolutions of 3 problems, 3 of them solved>"
    for state, found in zip(states, many, strict=True):
        alone = halves().solve((9, 13), initial_state=state.tolist())
        assert found.cost == pytest.approx(alone.cost, rel=1e-7)
        torch.testing.assert_close(whole(found, "x"), whole(alone, "x"), atol=1e-6, rtol=0)
    with pytest.raises(ValueError, match="expected batches of one size, got 2, 3"):
        halves().solve(9, initial_state=states, final_state=states[:2])


def test_guesses_and_warm_starts() -> None:
    phases = halves()
    found = phases.solve((9, 13))
    again = phases.solve((9, 13), warm_start=found)
    assert again.iterations < found.iterations
    finer = phases.solve((17, 25), guess=found, scheme=("trapezoidal", "hermite-simpson"))
    assert finer.success
    assert [one.scheme for one in finer.phases] == ["trapezoidal", "hermite-simpson"]
    assert phases.solve((9, 13), guess=[{"u": [1.0]}, found.phases[1]]).success
    assert phases.solve(grid=[[0, 1, 3], [0, 1, 2, 5]], scheme="rk4").phases[1].t.tolist() == pytest.approx(
        [0.4, 0.52, 0.64, 1]
    )
    straight = phases.solve((9, 13), max_iterations=0)  # through both phases
    torch.testing.assert_close(whole(straight, "x")[:, 0], whole(straight, "t"), atol=1e-9, rtol=0)


def test_compiled_phases_are_the_same() -> None:
    plain, compiled = (halves().solve((9, 13), compile=compile) for compile in (False, True))
    assert compiled.cost == pytest.approx(plain.cost, rel=1e-9)


def test_words() -> None:
    found = halves().solve((9, 13))
    text = found.explain()
    assert text.startswith("split\nconverged: cost ")
    assert "\nphase 1 'out': cost " in text
    assert "t = 0.4 to 1, 13 nodes, trapezoidal; error at most" in text
    assert re.search(r"Active in phase 2 'in':\n  force >= -5: t = 0\.\d+ to 1 \(nodes \d+ to 12\)", text)
    assert "force" in found.phases[1].explain()
    assert repr(found).startswith("<PhasedSolution of 2 phases: CONVERGED, cost 13.")


def test_what_cannot_be_met_is_named_with_its_phase() -> None:
    found = halves(control_bounds=(-1, 1)).solve((9, 13))
    assert found.status is Status.INFEASIBLE
    text = found.explain()
    where = r"(dynamics|continuity) of position (from node \d+ \(t = \d|from phase 1 'out' to phase 2 'in')"
    assert re.search(rf"Violated: .*{where}", text)
    assert re.search(r"phase 2 'in', position = 1 at node 12 \(t = 1\)", text)
    assert re.search(r"phase 1 'out', position = 0 at node 0 \(t = 0\)", text)
    legs = [block(), block(initial_state=None, final_state=[3, 0], control_bounds=(-1, 1), title="far")]
    assert "phase 2 'far', dynamics of position from node" in Phases(legs).solve(9).explain()


def test_a_link_that_is_not_met_is_named() -> None:
    legs = [block(), block(initial_state=[1, 0])]
    text = Phases(legs, [lambda end, start: start[0] - end[0] - 9]).solve(9).explain()
    assert "Violated: links[0] from phase 1 'block move' to phase 2 'block move', by 9" in text


def test_what_is_not_finite_is_named_with_its_phase() -> None:
    legs = [block(), block(initial_state=None, final_state=[2, 0], running_cost=lambda x, u: (1.5 - x[0]).log())]
    with pytest.raises(NonFiniteError, match=r"phase 2 'block move', running_cost: .* not at node \d \(t = 1\."):
        Phases(legs).solve(9)


def test_saved_and_loaded(tmp_path: Path) -> None:
    phases = staged()
    found = phases.solve(21, "hermite-simpson")
    found.save(tmp_path / "one.npz")
    same = PhasedSolution.load(tmp_path / "one.npz", phases)
    for one, other in zip(found.phases, same.phases, strict=True):
        assert torch.equal(one.x, other.x)
        assert torch.equal(one.costates, other.costates)
        assert one.history == other.history
    assert same.names == found.names
    assert same.cost == found.cost
    assert same.simulate().cost == found.simulate().cost
    assert PhasedSolution.load(tmp_path / "one.npz").problem is None
    assert str(same).splitlines()[2].startswith("phase 1 'boost': cost")
    assert phases.solve(21, "hermite-simpson", guess=same).success
    with pytest.raises(FileFormatError, match="expected a solution of 2 phases"):
        PhasedSolution.load(tmp_path / "one.npz", halves())
    with pytest.raises(FileFormatError, match=r"got one of many: see PhasedSolution\.load"):
        Solution.load(tmp_path / "one.npz")
    found.phases[0].save(tmp_path / "other.npz")
    with pytest.raises(FileFormatError, match="'phases'"):
        PhasedSolution.load(tmp_path / "other.npz")


def test_pictures() -> None:
    pytest.importorskip("matplotlib")
    figure: Any = staged().solve(21, "hermite-simpson").plot(costates=True)
    figure.savefig(BytesIO(), dpi=30)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[:4] == ["h", "v", "m", "thrust"]
    assert "costate of m" in titles
    assert len([line for line in figure.axes[0].lines if line.get_linestyle() == ":"]) == 1
