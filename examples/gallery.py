"""What moves in each problem of optimal control that comes with banded, instant upon instant, in one picture.

python examples/gallery.py [--plot PROBLEMS.png]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import banded
from banded.problems import CONTROL_PROBLEMS, swingup, van_der_pol

NODES, COLUMNS = 101, 4


def solve() -> dict[str, banded.Solution]:
    """All problems and two variants, by Hermite and Simpson's scheme."""
    problems = {name: make() for name, make in CONTROL_PROBLEMS.items()}
    problems |= {'swingup("B")': swingup("B"), "van_der_pol(-0.25)": van_der_pol(-0.25)}
    found = {}
    for name, problem in problems.items():
        controls = "linear" if name == "hanging_chain" else "free"  # which would run away in its last interval
        found[name] = problem.solve(NODES, banded.HermiteSimpson(controls), progress=False)
    return found


def draw(solutions: dict[str, banded.Solution], path: Path) -> None:
    """A panel each."""
    from matplotlib.figure import Figure

    from banded.control.scenes import moments_of, strobe

    rows = -(-len(solutions) // COLUMNS)
    figure = Figure(figsize=(12, 2.6 * rows), layout="constrained")
    panels = figure.subplots(rows, COLUMNS, squeeze=False).flatten()
    for axes, (name, solution) in zip(panels, solutions.items(), strict=False):
        if moments := moments_of([solution]):
            strobe(axes, moments)
        axes.set_title(f"{name}: {solution.cost:.6g}", fontsize=10)
    for axes in panels[len(solutions) :]:
        axes.set_axis_off()
    figure.savefig(path, dpi=110)


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 0 if all were solved."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--plot", type=Path, metavar="PROBLEMS.png", help="draw them into this file")
    path = parser.parse_args(arguments).plot
    solutions = solve()
    for name, solution in solutions.items():
        print(f"{name:18} {solution.cost:12.8g} {solution.iterations:4} iterations  {solution.status.name.lower()}")
    if path:
        draw(solutions, path)
        print(f"picture: {path}")
    return 0 if all(solution.success for solution in solutions.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
