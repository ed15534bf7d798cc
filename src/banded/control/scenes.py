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
    from banded.control.curves import Samples
    from banded.control.solution import Solution

Scene = Callable[["Axes", float, Tensor, Tensor], None]
Instant = tuple[float, Tensor, Tensor]
INSTANTS = 9  # of a picture
FAINTEST = 0.13
LOOKED = 60  # instants that the limits of an animation are taken from
FRAMES = 2000
HOLD = 0.6  # seconds at the end
INCHES, SHORTEST, TALLEST = 6.4, 2.4, 6.4


def moments_of(phases: Sequence[Solution]) -> list[tuple[Scene, Instant]]:
    """Some instants from the first phase to the last, of those that have a scene."""
    starts = torch.stack([one.t[0] for one in phases])
    found = []
    for t in torch.linspace(float(starts[0]), float(phases[-1].t[-1]), INSTANTS, dtype=starts.dtype):
        phase = phases[int(torch.searchsorted(starts, t, right=True)) - 1]
        scene = None if phase.problem is None else phase.problem.scene
        if scene is not None:
            found.append((scene, _instants(phase.resample(grid=t[None]))[0]))
    return found


def strobe(axes: Axes, moments: Sequence[tuple[Scene, Instant]]) -> None:
    """Instants over each other, the earlier ones fainter."""
    _bare(axes)
    for number, (scene, one) in enumerate(moments):
        known = set(axes.get_children())
        scene(axes, *one)
        share = number / (len(moments) - 1) if len(moments) > 1 else 1.0
        for artist in set(axes.get_children()) - known:
            alpha = artist.get_alpha()
            if alpha is None or isinstance(alpha, int | float):
                artist.set_alpha((1.0 if alpha is None else alpha) * (FAINTEST + (1 - FAINTEST) * share**1.5))
    axes.autoscale_view()


def animate(solution: Solution, path: Path, fps: float, speed: float) -> None:
    """Write an animation.

    Raises:
        ValueError: where there is no scene, or for arguments that do not fit.
    """
    scene = None if solution.problem is None else solution.problem.scene
    if scene is None:
        raise ValueError(
            "animate: expected a solution of a problem with a scene, a function of (axes, t, x, u) that draws an "
            "instant; give the problem one: ControlProblem(..., scene=...)"
        )
    if path.suffix not in (".gif", ".html"):
        raise ValueError(f"{path}: expected the name of a file that ends in .gif or .html")
    if not all(isinstance(one, Real) and one > 0 for one in (fps, speed)):
        raise ValueError(f"fps, speed: expected positive numbers, got {fps!r} and {speed!r}")
    times = _times(solution, fps if path.suffix == ".html" else _of_gif(fps), speed)
    writer = new_movie(path.suffix, fps if path.suffix == ".html" else _of_gif(fps))
    path.parent.mkdir(parents=True, exist_ok=True)
    size, limits = _measured(scene, solution)
    figure = new_figure(size)
    axes = figure.subplots()
    _draw_frame(axes, scene, (float(solution.t[0]), solution.x[0], solution.u[0]), limits)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # which would take longer than the frames
    with writer.saving(figure, str(path), dpi=100):
        for one in _instants(solution.resample(grid=times)):
            _draw_frame(axes, scene, one, limits)
            writer.grab_frame()


def _of_gif(fps: float) -> float:
    """The nearest rate that a GIF can have: its frames last whole hundredths of a second, of which 2 are the least."""
    return 100 / max(2, round(100 / fps))


def _times(solution: Solution, fps: float, speed: float) -> Tensor:
    """Those of the frames: real time where `speed` is 1, and a rest at the end."""
    first, last = float(solution.t[0]), float(solution.t[-1])
    count = math.ceil((last - first) / speed * fps) + 1
    if count > FRAMES:
        raise ValueError(
            f"speed: expected one that makes at most {FRAMES} frames, got {speed:g}, which makes {count}; "
            f"{(last - first) / 10:.3g} makes an animation of 10 seconds"
        )
    times = first + speed / fps * torch.arange(count + round(HOLD * fps), dtype=solution.t.dtype)
    return times.clamp(max=last)


def _instants(samples: Samples) -> list[Instant]:
    return list(zip(samples.t.tolist(), samples.x, samples.u, strict=True))


def _measured(scene: Scene, solution: Solution) -> tuple[tuple[float, float], dict[str, Any]]:
    """A size in inches, and limits that hold all instants."""
    axes = new_figure((INCHES, INCHES)).subplots()
    for one in _instants(solution.resample(LOOKED)):
        scene(axes, *one)
    axes.autoscale_view()
    limits: dict[str, Any] = {"xlim": axes.get_xlim(), "ylim": axes.get_ylim()}
    width, height = (abs(high - low) for low, high in limits.values())
    return (INCHES, min(max(INCHES * height / width, SHORTEST), TALLEST) + 0.4), limits


def _draw_frame(axes: Axes, scene: Scene, one: Instant, limits: dict[str, Any]) -> None:
    axes.clear()
    _bare(axes)
    axes.set(**limits)
    axes.set_title(f"t = {one[0]:.2f}", fontsize=10, loc="left", family="monospace")
    scene(axes, *one)


def _bare(axes: Axes) -> None:
    axes.set_aspect("equal")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
