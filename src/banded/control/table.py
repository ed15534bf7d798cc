"""Solutions as tables of pandas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas

    from banded.control.solution import Solution


def table(phases: Sequence[Solution], names: Sequence[str] = ("",)) -> pandas.DataFrame:
    """A row for each node, by time; columns are states, controls and costates, and of many phases their names.

    What a phase has not is nan.

    Raises:
        ModuleNotFoundError: where pandas is not installed; says how to get it.
    """
    try:
        import pandas
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("tables need pandas; install it with pip install pandas") from error
    parts = [_part(pandas, one) for one in phases]
    if len(parts) == 1:
        return parts[0]
    for part, name in zip(parts, names, strict=True):
        part.insert(0, "phase", name)
    return pandas.concat(parts)


def _part(pandas: Any, solution: Solution) -> Any:
    columns = dict(zip(solution.states, solution.x.T.numpy(), strict=True))
    columns |= zip(solution.controls, solution.u.T.numpy(), strict=True)
    costates = (f"costate_{name}" for name in solution.states)
    columns |= zip(costates, solution.costates.T.numpy(), strict=True)
    return pandas.DataFrame(columns, index=pandas.Index(solution.t.numpy(), name="t"), copy=True)
