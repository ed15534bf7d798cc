"""Solutions as tables."""

import sys

import pytest
import torch
from moves import block, moved

from banded import ControlProblem, Phases


def test_columns_have_the_names_of_states_controls_and_costates() -> None:
    pytest.importorskip("pandas")
    solution = moved()
    table = solution.to_dataframe()
    assert list(table.columns) == ["position", "speed", "force", "costate_position", "costate_speed"]
    assert table.index.name == "t"
    assert table.index.tolist() == solution.t.tolist()
    assert table["speed"].tolist() == solution.x[:, 1].tolist()
    assert table["force"].tolist() == solution.u[:, 0].tolist()
    assert table["costate_speed"].tolist() == solution.costates[:, 1].tolist()
    table.loc[:, "speed"] = 7.0
    assert float(solution.x[0, 1]) == 0


def test_phases_stand_below_each_other() -> None:
    pandas = pytest.importorskip("pandas")
    there = block(final_state=None, title="there")
    slide = ControlProblem(
        lambda x, u: torch.stack([x[1], 0 * x[1]]), ("position", "speed"), 0, final_state=[1, torch.nan]
    )
    solution = Phases([there, slide]).solve([5, 3])
    table = solution.to_dataframe()
    assert table["phase"].tolist() == [solution.names[0]] * 5 + [solution.names[1]] * 3
    assert table.index.tolist() == [t for one in solution.phases for t in one.t.tolist()]
    assert table["force"].isna().tolist() == [False] * 5 + [True] * 3
    pandas.testing.assert_frame_equal(
        table.iloc[:5].drop(columns="phase"), solution.phases[0].to_dataframe(), check_like=True
    )


def test_without_pandas_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ModuleNotFoundError, match="pip install pandas"):
        block().solve(5).to_dataframe()
