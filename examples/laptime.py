"""The fastest lap of a real circuit, for a point mass within its friction circle.

    python examples/laptime.py TRACK.csv [-o LAP.csv] [--plot LAP.png] [--grip 1.2] [--top-speed 80] [--spacing 5]

TRACK.csv holds a closed centre line with the widths to either side, a row per point: `x_m, y_m, w_tr_right_m,
w_tr_left_m`, all in metres (the format of the TUMFTM racetrack database). Unknowns are offset, heading and speed and
the accelerations along and across, every few metres of the lap; the edges of the track and the friction circle are
constraints, and the lap ends as it began. Line, speeds, gas and brakes come out of one solve.

Steps are those of Runge and Kutta with constant accelerations in between. Where a limit of the speed or nothing at all
holds, collocation leaves accelerations free to alternate from node to node, as their means alone count.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import banded
from banded.problems import raceline
from banded.problems.trajectories.track import Track, read_track

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GRAVITY = 9.81  # m/s²


def line(track: Track, solution: banded.Solution) -> torch.Tensor:
    """`(T, 2)`: where the car is, in m."""
    return track.points(solution.t, solution.x[:, 0])


def draw(track: Track, solution: banded.Solution, title: str, path: Path) -> None:
    """The line, the speed along it, and the accelerations beside the circle they must stay in."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 10), layout="constrained")
    panels: Any = [["map", "bend"], ["speed", "circle"]]
    axes = figure.subplot_mosaic(panels, height_ratios=[3, 2], width_ratios=[1, 1])
    points, speed = line(track, solution), 3.6 * solution.x[:, 2]
    slowest = points[speed.argmin()].tolist()
    for name in ("map", "bend"):
        shown = _draw_map(axes[name], track, points, speed)
    figure.colorbar(shown, ax=axes["bend"], label="speed in km/h", shrink=0.8)
    axes["map"].set(title=title)
    axes["bend"].set(xlim=(slowest[0] - 90, slowest[0] + 90), ylim=(slowest[1] - 90, slowest[1] + 90))
    axes["bend"].set(title="its slowest corner")
    axes["speed"].plot(solution.t / 1000, speed, color="C0")
    axes["speed"].set(xlabel="distance along the centre line in km", ylabel="speed in km/h", ylim=(0, None))
    across, along = solution.u[:, 1] / GRAVITY, solution.u[:, 0] / GRAVITY
    axes["circle"].plot(across, along, ".", color="C3", markersize=3)
    axes["circle"].set(aspect="equal", xlabel="to the left in g", ylabel="forward in g", title="accelerations")
    figure.savefig(path, dpi=120)


def _draw_map(axes: Axes, track: Track, points: torch.Tensor, speed: torch.Tensor) -> Any:
    from matplotlib.collections import LineCollection

    s = torch.linspace(0, track.length, len(track.left), dtype=torch.float64)
    for edge in (track.left, -track.right):
        axes.fill(*track.points(s, edge).T.numpy(), fill=False, edgecolor="black", linewidth=0.8)
    segments = list(np.stack([points[:-1].numpy(), points[1:].numpy()], 1))
    collection = LineCollection(segments, array=speed[:-1].numpy(), cmap="plasma", linewidth=2)
    axes.add_collection(collection)
    axes.set(aspect="equal", xlabel="x in m", ylabel="y in m")
    return collection


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 0 solved, 1 not solved, 2 bad input."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("track", type=Path, metavar="TRACK.csv")
    parser.add_argument("-o", "--output", type=Path, metavar="LAP.csv", help="write the lap: s, x, y, speed, ...")
    parser.add_argument("--plot", type=Path, metavar="LAP.png", help="draw line, speed and accelerations")
    parser.add_argument("--grip", type=float, default=1.2, metavar="G", help="of the tyres, in g (default: 1.2)")
    parser.add_argument("--top-speed", type=float, default=80.0, metavar="V", help="in m/s (default: 80)")
    parser.add_argument("--margin", type=float, default=0.0, metavar="M", help="to the edges, in m (default: 0)")
    parser.add_argument("--spacing", type=float, default=5.0, metavar="D", help="of the nodes, in m (default: 5)")
    options = parser.parse_args(arguments)
    try:
        if not options.spacing > 0:
            raise ValueError(f"--spacing: expected a positive number, got {options.spacing}")
        for path in (options.output, options.plot):
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
        track = read_track(options.track)
        problem = raceline(options.track, options.grip, options.top_speed, options.margin)
    except (OSError, ValueError, banded.BandedError) as error:
        print(f"laptime: {error}", file=sys.stderr)
        return 2
    nodes = max(5, round(track.length / options.spacing)) + 1
    solution = problem.solve(nodes, banded.RungeKutta(controls="constant"), progress=False)
    if not solution.success:
        print(f"laptime: {solution.status.value}", file=sys.stderr)
        return 1
    speed = 3.6 * solution.x[:, 2]
    print(f"{options.track.stem}: {track.length:.0f} m, {len(solution.t)} nodes")
    print(f"fastest lap {solution.cost:.3f} s, {float(speed.min()):.0f} to {float(speed.max()):.0f} km/h")
    print(f"{solution.iterations} iterations, {solution.seconds:.2f} s")
    if options.output:
        table = torch.cat([solution.t[:, None], line(track, solution), solution.x, solution.u], 1)
        header = "s_m,x_m,y_m,offset_m,heading_rad,speed_mps,along_mps2,across_mps2"
        np.savetxt(options.output, table.numpy(), fmt="%.9f", delimiter=",", header=header)
        print(f"lap: {options.output}")
    if options.plot:
        draw(track, solution, f"{options.track.stem}: a lap in {solution.cost:.2f} s", options.plot)
        print(f"picture: {options.plot}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
