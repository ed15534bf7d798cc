"""Solutions as tables of pandas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas

    from banded.control.phased import PhasedSolution
    from banded.control.solution import Solution


def table(solution: Solution) -> pandas.DataFrame:
    """A row for each node, by time; columns are states, controls and costates.

    Raises:
        ModuleNotFoundError: where pandas is not installed; says how to get it.
    """
    columns = dict(zip(solution.states, solution.x.T.numpy(), strict=True))
    columns |= zip(solution.controls, solution.u.T.numpy(), strict=True)
    costates = (f"costate_{name}" for name in solution.states)
    columns |= zip(costates, solution.costates.T.numpy(), strict=True)
    library = _pandas()
    found: pandas.DataFrame = library.DataFrame(columns, index=library.Index(solution.t.numpy(), name="t"), copy=True)
    return found


def table_of_phases(solution: PhasedSolution) -> pandas.DataFrame:
    """The rows of all phases, by the phase's number from 0 and time; what a phase has not is nan there.

    Raises:
        ModuleNotFoundError: where pandas is not installed; says how to get it.
    """
    tables = [table(one) for one in solution.phases]
    found: pandas.DataFrame = _pandas().concat(tables, keys=range(len(tables)), names=["phase", "t"])
    return found


def _pandas() -> Any:
    try:
        import pandas
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("tables need pandas; install it with pip install pandas") from error
    return pandas
