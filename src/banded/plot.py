"""Pictures of solutions. Needs matplotlib: the extra `plot`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from banded.canvas import new_figure
from banded.optimize import Result, convergence
from banded.problems import Problem, unknowns

if TYPE_CHECKING:
    from banded.canvas import Axes, Figure

SIZE = (11, 5)  # inches
LINES = 12  # at most, where x is drawn as it is


def picture(problem: Problem, result: Result) -> Figure:
    """The solution on the left, the way there on the right.

    Raises:
        ModuleNotFoundError: where matplotlib is not installed; says how to get it.
    """
    figure = new_figure(SIZE)
    left, right = np.asarray(figure.subfigures(1, 2, width_ratios=(6, 5)))
    if problem.draw is None:
        _series(left.subplots(), problem, result)
    else:
        problem.draw(left, result)
    convergence(right.subplots(), result)
    figure.suptitle(problem.title)
    return figure


def check_path(path: Path) -> Path:
    """The path of a picture, with .png where it has no suffix.

    Raises:
        ModuleNotFoundError: where matplotlib is not installed.
        ValueError: if it is a folder, or matplotlib does not write its format.
    """
    figure = new_figure(SIZE)
    if path.is_dir():
        raise ValueError(f"{path}: expected a file to draw into, got a folder")
    path = path if path.suffix else path.with_suffix(".png")
    known = figure.canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in known:
        raise ValueError(f"{path}: expected a picture, of a format in {', '.join(sorted(known))}")
    return path


def save(figure: Figure, path: Path) -> None:
    """Write `figure` to `path`, in the format of its suffix, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def _series(axes: Axes, problem: Problem, result: Result) -> None:
    """The problem's columns against the first of them, or x along its first dimension, a line for each of the rest."""
    series = problem.series(result.x)
    if series:
        axis, *names = series
        for name in names:
            axes.plot(series[axis], series[name], label=name)
        axes.set(xlabel=axis)
    else:
        for name, leaf in unknowns(result.x).items():
            lines = leaf.cpu().reshape(len(leaf), -1) if leaf.ndim else leaf.cpu().reshape(1, 1)
            for i, line in enumerate(lines.T[:LINES]):
                axes.plot(line, ".-" if len(line) < 100 else "-", label=name if leaf.ndim < 2 else f"{name}[:, {i}]")
        axes.set(xlabel="first dimension of x")
    axes.set(title="solution")
    axes.legend(fontsize=8)
