"""Pictures of how minimisations went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from banded.canvas import new_figure

if TYPE_CHECKING:
    from banded.canvas import Axes, Figure
    from banded.optimize.result import Record, Result, Results

LINES = 300  # problems of a batch that are drawn, evenly chosen


def draw_result(result: Result) -> Figure:
    """How value and gradient fell, which steps led there, and what took the time."""
    figure = new_figure((12.5, 4.2))
    left, middle, right = figure.subplots(1, 3, width_ratios=(5, 4, 3.2))
    convergence(left, result)
    _steps(middle, result.history)
    _profile(right, result.profile)
    figure.suptitle(_title(result))
    return figure


def draw_results(results: Results) -> Figure:
    """The gradients of all problems of a batch, how many steps they took, and what took the time."""
    figure = new_figure((12.5, 4.2))
    left, middle, right = figure.subplots(1, 3, width_ratios=(5, 4, 3.2))
    shown = results.each[:: max(1, len(results) // LINES)]
    for one in shown:
        color = "tab:blue" if one.success else "tab:red"
        left.semilogy(*_of(one.history, "gradient_norm"), color=color, alpha=max(0.08, 1 / len(shown)), lw=1)
    left.set(xlabel="Newton step", title="gradient norm, red where not solved")
    steps = results.iterations.numpy()
    middle.hist(steps, bins=np.arange(steps.min(), steps.max() + 2) - 0.5, color="tab:blue", edgecolor="white")
    middle.set(xlabel="Newton steps", ylabel="problems", title="iterations")
    _profile(right, results.profile)
    figure.suptitle(f"{len(results)} problems, {int(results.success.sum())} solved, {results.seconds:.3g} s")
    return figure


def convergence(axes: Axes, result: Result) -> None:
    """Gradient norm, distance to the last value, and violation where there are constraints, by iteration."""
    history = result.history
    axes.semilogy(*_of(history, "gradient_norm"), ".-", label="gradient norm")
    if result.violation is not None:
        axes.semilogy(*_of(history, "violation"), ".-", label="violation")
    else:
        gap = [abs(record.value - result.value) or None for record in history]
        axes.semilogy([record.iteration for record in history], gap, ".-", label="f - f at the end", alpha=0.7)
    axes.set(xlabel="Newton step", title=f"{result.status.name.lower().replace('_', ' ')}, f = {result.value:.7g}")
    axes.legend(fontsize=8)


def _steps(axes: Axes, history: Sequence[Record]) -> None:
    axes.semilogy(*_of(history, "step"), ".-", color="tab:green", label="step, 1 = full")
    if any(record.shift for record in history):
        axes.semilogy(*_of(history, "shift"), ".", color="tab:orange", label="shift of H, where it is indefinite")
    axes.set(xlabel="Newton step", title="steps")
    axes.legend(fontsize=8)


def _profile(axes: Axes, profile: dict[str, float]) -> None:
    names, seconds = list(profile), np.array(list(profile.values())) * 1e3
    bars = axes.barh(names[::-1], seconds[::-1], color="tab:gray")
    axes.bar_label(bars, fmt="%.3g", padding=3, fontsize=8)
    axes.set(title="milliseconds", xlim=(0, 1.25 * max(seconds, default=1)))
    axes.spines[["top", "right"]].set_visible(False)


def _of(history: Sequence[Record], name: str) -> tuple[list[int], list[float | None]]:
    """Iterations and a column, with gaps in place of zeros, which have no logarithm."""
    return [record.iteration for record in history], [getattr(record, name) or None for record in history]


def _title(result: Result) -> str:
    return f"{result.iterations} Newton steps, {result.evaluations} evaluations, {result.seconds:.3g} s"
