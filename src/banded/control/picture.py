"""Pictures of solutions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from banded.canvas import new_figure
from banded.control.activity import Active, findings
from banded.control.scenes import moments_of, strobe

if TYPE_CHECKING:
    from banded.canvas import Axes, Figure
    from banded.control.solution import Solution
    from banded.control.solutions import Solutions

STATE, CONTROL, COSTATE = "#1f5fa8", "#c2570c", "#7a4fb5"
ACTIVE, BEYOND, QUIET = "#c81e3a", "#e9e9ec", "#6b7280"
SMALL = 1e-5  # the smallest error that is drawn, beside the largest
POINTS = 600  # of a curve, about
DOTTED = 61  # nodes up to which each is a dot
NEAR = 0.4  # beside the span of a curve: up to there, a bound is drawn
FLAT = 1e-3  # what of a curve's size its axis spans at least
MOST = 15  # panels; more states or controls than that share one
ROUND: dict[str, Any] = {"marker": "o", "mew": 0, "solid_capstyle": "round"}
LANES = 12  # active constraints that are drawn
SCENE, PANEL, LANE, WIDTH = 3.2, 1.9, 0.26, 3.7  # inches


class Panel(NamedTuple):
    """One or many curves of a phase.

    Attributes:
        name: what they are.
        color: of a single one.
        t: `(P,)`.
        values: `(P, k)`.
        nodes: times and values `(T,)`, `(T, k)` at the nodes.
        span: when bounds hold.
        bounds: lower and upper.
        constraints: of its bounds, those that are active.
    """

    name: str
    color: str
    t: Tensor
    values: Tensor
    nodes: tuple[Tensor, Tensor]
    span: tuple[float, float]
    bounds: tuple[float, float] = (-np.inf, np.inf)
    constraints: Sequence[Active] = ()


def draw(phases: Sequence[Solution], costates: bool, title: str) -> Figure:
    """The scene on top, then a panel for each state and control, the error, and what is active when.

    Args:
        phases: one after the other, or a single one.
        costates: whether to draw these, too.
        title: one line.
    """
    known = [findings(one) for one in phases]
    constraints = [one.active if one else () for one in known]
    panels: dict[tuple[str, str], list[Panel]] = {}
    for number, (one, own) in enumerate(zip(phases, constraints, strict=True)):
        for panel in _panels(one, own, costates, (number == 0, number == len(phases) - 1)):
            panels.setdefault((panel.name, panel.color), []).append(panel)
    lanes: dict[str, list[Active]] = {}
    for each in (one for own in constraints for one in own if one.spans):
        lanes.setdefault(each.name, []).append(each)
    moments, rows = moments_of(phases), list(lanes.items())[:LANES]
    figure, tops, axes, bottom = _laid_out(len(panels) + 1, bool(moments), len(rows))
    for place, group in zip(axes, panels.values(), strict=False):
        _draw_panel(place, group)
    _draw_error(axes[len(panels)], phases)
    if tops is not None:
        strobe(tops, moments)
    if bottom is not None:
        _draw_lanes(bottom, rows)
    timed = [*axes, *([] if bottom is None else [bottom])]
    for place in timed:
        for one in phases[1:]:
            place.axvline(float(one.t[0]), color=QUIET, lw=0.8, ls=":", zorder=0.5)
    _label_times(timed, torch.cat([one.t for one in phases]))
    figure.suptitle(_title(phases, title), fontsize=11, color="black" if phases[0].success else ACTIVE)
    return figure


def draw_many(solutions: Solutions) -> Figure:
    """A panel for each state and control, with the curves of all."""
    names = [(name, "x", i) for i, name in enumerate(solutions.states)]
    names += [(name, "u", i) for i, name in enumerate(solutions.controls)]
    names = names[:MOST]
    figure, _, axes, _ = _laid_out(len(names), False, 0)
    faint = max(0.05, min(1.0, 3 / len(solutions)))
    for one, (name, which, i) in zip(axes, names, strict=False):
        rows = getattr(solutions, which)[..., i]
        for good, color in ((True, STATE if which == "x" else CONTROL), (False, ACTIVE)):
            chosen = solutions.success == good
            if bool(chosen.any()):
                one.plot(solutions.t[chosen].T, rows[chosen].T, color=color, alpha=faint, lw=1)
        _dress(one, name)
    _label_times(axes, solutions.t.reshape(-1).sort().values)
    figure.suptitle(f"{len(solutions)} solutions, {int(solutions.success.sum())} of them solved", fontsize=11)
    return figure


def _title(phases: Sequence[Solution], title: str) -> str:
    status = phases[0].status.name.lower().replace("_", " ")
    shared: dict[str, float] = {}
    for one in phases:
        shared |= zip(one.parameter_names, one.parameters.tolist(), strict=True)
    told = "".join(f", {name} {value:.5g}" for name, value in shared.items())
    cost, duration = sum(one.cost for one in phases), sum(one.duration for one in phases)
    return f"{title}{title and chr(10)}{status}: cost {cost:.6g}, duration {duration:.5g}{told}"


def _laid_out(count: int, scene: bool, lanes: int) -> tuple[Figure, Axes | None, list[Axes], Axes | None]:
    """A figure, the axes on top, the panels in rows, and the axes at the bottom."""
    columns = 1 if count == 1 else 2 if count <= 4 else 3 if count <= 9 else 4
    rows = -(-count // columns)
    heights = [SCENE] * scene + [PANEL] * rows + [LANE * lanes + 0.45] * bool(lanes)
    figure = new_figure((WIDTH * max(columns, 2), sum(heights) + 0.6))
    grid = figure.add_gridspec(len(heights), columns, height_ratios=heights)
    top = figure.add_subplot(grid[0, :]) if scene else None
    cells = [divmod(i, columns) for i in range(count)]
    panels = [figure.add_subplot(grid[row + scene, column]) for row, column in cells]
    return figure, top, panels, figure.add_subplot(grid[-1, :]) if lanes else None


def _panels(
    solution: Solution, constraints: Sequence[Active], costates: bool, outer: tuple[bool, bool]
) -> Iterator[Panel]:
    """Those of a phase, which may be the first one and the last one."""
    samples = solution.curves.sampled(max(2, min(50, POINTS // len(solution.error))))
    stated = None if solution.problem is None else solution.problem.stated
    inf, left = torch.tensor(torch.inf), MOST
    first, last = float(solution.t[0]), float(solution.t[-1])
    span = first - (last - first) * outer[0], last + (last - first) * outer[1]
    groups = [
        ("states", solution.states, STATE, samples.x, solution.x, stated and stated.state_bounds),
        ("controls", solution.controls, CONTROL, samples.u, solution.u, stated and stated.control_bounds),
    ]
    for kind, names, color, curve, nodes, bounds in groups:
        if len(names) > left:
            yield Panel(f"{len(names)} {kind}", color, samples.t, curve, (solution.t, nodes), span)
            left -= 1
            continue
        left -= len(names)
        low, high = bounds or (-inf.expand(len(names)), inf.expand(len(names)))
        for i, name in enumerate(names):
            own = [one for one in constraints if one.of == name]
            at = solution.t, nodes[:, i : i + 1]
            yield Panel(name, color, samples.t, curve[:, i : i + 1], at, span, (float(low[i]), float(high[i])), own)
    if costates:
        for i, name in enumerate(solution.states[:MOST]):
            values = solution.costates[:, i : i + 1]
            yield Panel(f"costate of {name}", COSTATE, solution.t, values, (solution.t, values), span)


def _dress(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color="#eeeeee", lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)


def _draw_panel(axes: Axes, panels: Sequence[Panel]) -> None:
    """The same of each phase."""
    _dress(axes, panels[0].name)
    nodes = sum(len(one.nodes[0]) for one in panels)
    for one in panels:
        single = one.values.shape[1] == 1
        axes.plot(one.t, one.values, color=one.color, lw=1.6 if single else 0.9, alpha=1 if single else 0.5)
        if single and nodes <= DOTTED:
            axes.plot(*one.nodes, ".", color=one.color, ms=5)
    if all(one.values.shape[1] == 1 for one in panels):
        _draw_bounds(axes, panels)


def _draw_bounds(axes: Axes, panels: Sequence[Panel]) -> None:
    """Those that are near, with what is beyond them, and when they are active."""
    values = torch.cat([one.values[one.values.isfinite()] for one in panels])
    if not len(values):
        return
    low, high = float(values.min()), float(values.max())
    span = max(high - low, FLAT * max(abs(low), abs(high))) or 1.0
    ends = [low - 0.08 * span, high + 0.08 * span]
    for one in panels:
        for side, (bound, outward) in enumerate(zip(one.bounds, (-1, 1), strict=True)):
            if (bound - (low, high)[side]) * outward <= NEAR * span:
                beyond = bound + outward * 0.12 * span
                ends[side] = min(ends[0], beyond) if side == 0 else max(ends[1], beyond)
                axes.fill_between(one.span, bound, bound + outward * 10 * span, color=BEYOND, lw=0, zorder=0)
                axes.plot(one.span, [bound, bound], color=QUIET, ls="--", lw=1)
    axes.set_ylim(*ends)
    axes.ticklabel_format(axis="y", useOffset=False)
    for one in panels:
        for constraint in one.constraints:
            bound = one.bounds[constraint.is_upper]
            for run in constraint.spans:
                axes.plot([run.first, run.last], [bound, bound], color=ACTIVE, lw=3.5, **ROUND, ms=3.5, zorder=3)


def _draw_error(axes: Axes, phases: Sequence[Solution]) -> None:
    _dress(axes, "error of each interval, relative")
    for one in phases:
        axes.stairs(one.error.numpy(), one.t.numpy(), fill=True, color="#b9bec8")
    worst = max(phases, key=lambda one: float(one.error.nan_to_num().max()))
    error, which = worst.error.numpy(), int(worst.error.argmax())
    if 0 < error[which] < np.inf:
        axes.stairs(error[which : which + 1], worst.t[which : which + 2].numpy(), fill=True, color=QUIET)
        every = torch.cat([one.error for one in phases])
        least = max(float(every[every > 0].min()), SMALL * float(error[which]))
        axes.set(yscale="log", ylim=(least / 3, 3 * float(error[which])))


def _draw_lanes(axes: Axes, lanes: Sequence[tuple[str, Sequence[Active]]]) -> None:
    """A line for each constraint, where it is active."""
    _dress(axes, "active bounds and path constraints")
    axes.grid(visible=False)
    for row, (_, constraints) in enumerate(lanes):
        axes.axhline(row, color="#eeeeee", lw=5, solid_capstyle="butt", zorder=0)
        for run in (span for one in constraints for span in one.spans):
            axes.plot([run.first, run.last], [row, row], color=ACTIVE, lw=5, **ROUND, ms=5)
    axes.set_yticks(range(len(lanes)), [name for name, _ in lanes])
    axes.set_ylim(len(lanes) - 0.4, -0.6)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _label_times(axes: Sequence[Axes], t: Tensor) -> None:
    """The same times for all, which the lowest of each column tells."""
    first, last = float(t[0]), float(t[-1])
    lowest = {}
    for one in axes:
        one.set_xlim(first - 0.02 * (last - first), last + 0.02 * (last - first))
        place = one.get_subplotspec()
        assert place is not None
        lowest[place.colspan.start, place.colspan.stop] = one
    for one in lowest.values():
        one.set_xlabel("t", fontsize=8)
