"""Blank figures. The only module that imports matplotlib, the extra `plot`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.animation import AbstractMovieWriter
    from matplotlib.axes import Axes as Axes
    from matplotlib.figure import Figure as Figure

LARGEST = 200.0  # megabytes of an animation


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


def new_movie(suffix: str, fps: float) -> AbstractMovieWriter:
    """What writes a figure frame by frame: as a .gif, or as an .html page that holds all frames.

    Raises:
        ModuleNotFoundError: where matplotlib is not installed; says how to get it.
    """
    try:
        from matplotlib.animation import HTMLWriter, PillowWriter
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "animations need matplotlib and pillow; install them with pip install 'banded[plot]'"
        ) from error
    if suffix == ".gif":
        return PillowWriter(fps * (1 - 1e-9))  # type: ignore[arg-type]  # which rounds milliseconds down
    return HTMLWriter(fps, embed_frames=True, embed_limit=LARGEST)  # type: ignore[arg-type]
