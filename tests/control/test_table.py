"""Solutions as tables."""

import sys

import pytest
from moves import block, halves, moved


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


def test_phases_are_told_by_their_numbers() -> None:
    pytest.importorskip("pandas")
    found = halves().solve((9, 13))
    table = found.to_dataframe()
    assert table.index.names == ["phase", "t"]
    assert table.loc[1].index.tolist() == found.phases[1].t.tolist()
    for number, one in enumerate(found.phases):
        assert table.loc[number][one.controls[0]].tolist() == one.u[:, 0].tolist()


def test_without_pandas_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ModuleNotFoundError, match="pip install pandas"):
        block().solve(5).to_dataframe()
