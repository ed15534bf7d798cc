"""Blank figures. The only module that imports matplotlib, the extra `plot`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Axes
    from matplotlib.figure import Figure as Figure


def new_figure(size: tuple[float, float]) -> Figure:
    """A figure of `size` inches, laid out by constraints.

    Raises:
        ModuleNotFoundError: where matplotlib is not installed; says how to get it.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("pictures need matplotlib; install it with pip install 'banded[plot]'") from error
    return Figure(figsize=size, layout="constrained")
