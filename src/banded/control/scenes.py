"""What moves, drawn instant by instant: pictures and animations of a problem's scene."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from banded.canvas import new_figure, new_movie

if TYPE_CHECKING:
    from banded.canvas import Axes
    from banded.control.solution import Solution

Scene = Callable[["Axes", float, Tensor, Tensor], None]
Instant = tuple[float, Tensor, Tensor]
Moment = tuple[Scene, Instant]
INSTANTS = 9  # of a picture
FAINTEST = 0.13
LOOKED = 60  # instants that the limits of an animation are taken from
FRAMES = 2000
HOLD = 0.6  # seconds at the end
INCHES, SHORTEST, TALLEST = 6.4, 2.4, 6.4


def moments_of(phases: Sequence[Solution]) -> list[Moment]:
    """Some instants from the first phase to the last, of those that have a scene."""
    t = phases[0].t
    return _moments(phases, torch.linspace(float(t[0]), float(phases[-1].t[-1]), INSTANTS, dtype=t.dtype))


def _moments(phases: Sequence[Solution], times: Tensor) -> list[Moment]:
    """The instants of those times `(P,)`, rising, that are in a phase with a scene."""
    number_of = torch.searchsorted(torch.stack([one.t[0] for one in phases]), times, right=True) - 1
    found = []
    for number, phase in enumerate(phases):
        scene = None if phase.problem is None else phase.problem.scene
        mine = times[number_of == number].clamp(phase.t[0], phase.t[-1])
        if scene is not None and len(mine):
            samples = phase.resample(grid=mine)
            found += [(scene, one) for one in zip(samples.t.tolist(), samples.x, samples.u, strict=True)]
    return found


def strobe(axes: Axes, moments: Sequence[Moment]) -> None:
    """Instants over each other, the earlier ones fainter."""
    _bare(axes)
    for number, (scene, one) in enumerate(moments):
        known = set(axes.get_children())
        axes.set_prop_cycle(None)  # what is drawn without a color has the same one at all instants
        scene(axes, *one)
        share = number / (len(moments) - 1) if len(moments) > 1 else 1.0
        for artist in set(axes.get_children()) - known:
            alpha = artist.get_alpha()
            if alpha is None or isinstance(alpha, int | float):
                artist.set_alpha((1.0 if alpha is None else alpha) * (FAINTEST + (1 - FAINTEST) * share**1.5))
    axes.autoscale_view()


def animate(phases: Sequence[Solution], path: Path, fps: float, speed: float) -> None:
    """Write an animation of one phase after the other, of those that have a scene.

    Raises:
        ValueError: where there is no scene, or for arguments that do not fit.
    """
    if all(one.problem is None or one.problem.scene is None for one in phases):
        raise ValueError(
            "animate: expected a solution of a problem with a scene, a function of (axes, t, x, u) that draws an "
            "instant; give the problem one: ControlProblem(..., scene=...)"
        )
    if path.suffix not in (".gif", ".html"):
        raise ValueError(f"{path}: expected the name of a file that ends in .gif or .html")
    if not all(isinstance(one, Real) and one > 0 for one in (fps, speed)):
        raise ValueError(f"fps, speed: expected positive numbers, got {fps!r} and {speed!r}")
    fps = fps if path.suffix == ".html" else _of_gif(fps)
    first, last = float(phases[0].t[0]), float(phases[-1].t[-1])
    frames = _moments(phases, _times(first, last, fps, speed))
    writer = new_movie(path.suffix, fps)
    path.parent.mkdir(parents=True, exist_ok=True)
    size, limits = _measured(_moments(phases, torch.linspace(first, last, LOOKED, dtype=phases[0].t.dtype)))
    figure = new_figure(size)
    axes = figure.subplots()
    _draw_frame(axes, frames[0], limits)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # which would take longer than the frames
    with writer.saving(figure, str(path), dpi=100):
        for one in frames:
            _draw_frame(axes, one, limits)
            writer.grab_frame()


def _of_gif(fps: float) -> float:
    """The nearest rate that a GIF can have: its frames last whole hundredths of a second, of which 2 are the least."""
    return 100 / max(2, round(100 / fps))


def _times(first: float, last: float, fps: float, speed: float) -> Tensor:
    """Those of the frames: real time where `speed` is 1, and a rest at the end."""
    count = math.ceil((last - first) / speed * fps) + 1
    if count > FRAMES:
        raise ValueError(
            f"speed: expected one that makes at most {FRAMES} frames, got {speed:g}, which makes {count}; "
            f"{(last - first) / 10:.3g} makes an animation of 10 seconds"
        )
    times = first + speed / fps * torch.arange(count + round(HOLD * fps), dtype=torch.float64)
    return times.clamp(max=last)


def _measured(moments: Sequence[Moment]) -> tuple[tuple[float, float], dict[str, Any]]:
    """A size in inches, and limits that hold all instants."""
    axes = new_figure((INCHES, INCHES)).subplots()
    for scene, one in moments:
        scene(axes, *one)
    axes.autoscale_view()
    limits: dict[str, Any] = {"xlim": axes.get_xlim(), "ylim": axes.get_ylim()}
    width, height = (abs(high - low) for low, high in limits.values())
    return (INCHES, min(max(INCHES * height / width, SHORTEST), TALLEST) + 0.4), limits


def _draw_frame(axes: Axes, moment: Moment, limits: dict[str, Any]) -> None:
    scene, one = moment
    axes.clear()
    _bare(axes)
    axes.set(**limits)
    axes.set_title(f"t = {one[0]:.2f}", fontsize=10, loc="left", family="monospace")
    scene(axes, *one)


def _bare(axes: Axes) -> None:
    axes.set_aspect("equal")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
