"""Solutions as tables of pandas."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas

    from banded.control.solution import Solution


def table(solution: Solution) -> pandas.DataFrame:
    """A row for each node, by time; columns are states, controls and costates.

    Raises:
        ModuleNotFoundError: where pandas is not installed; says how to get it.
    """
    try:
        import pandas
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("tables need pandas; install it with pip install pandas") from error
    columns = dict(zip(solution.states, solution.x.T.numpy(), strict=True))
    columns |= zip(solution.controls, solution.u.T.numpy(), strict=True)
    costates = (f"costate_{name}" for name in solution.states)
    columns |= zip(costates, solution.costates.T.numpy(), strict=True)
    return pandas.DataFrame(columns, index=pandas.Index(solution.t.numpy(), name="t"), copy=True)
