"""The lap of least time: a ring, where it is known, and real circuits, where they lie beside the repository."""

from collections.abc import Callable
from math import pi, sqrt
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from banded import FileFormatError, RungeKutta, Solution, Status
from banded.problems import raceline
from banded.problems.trajectories.track import Track, read_track

LAPS = {"Monza": 105.35, "Silverstone": 123.08, "Spa": 141.61, "Nuerburgring": 117.62}  # s, nodes every 10 m
HOLD = 1.2 * 9.81  # m/s²


def ring(path: Path, n: int = 240, radius: float = 50.0, width: float = 3.0, reverse: bool = False) -> Path:
    """A circular track, counter-clockwise unless told otherwise, wider on its right by 1 m."""
    angle = 2 * np.pi * np.arange(n) / n * (-1 if reverse else 1)
    columns = [radius * np.cos(angle), radius * np.sin(angle), np.full(n, width + 1), np.full(n, width)]
    np.savetxt(path, np.stack(columns, 1), delimiter=",", header="x_m,y_m,w_tr_right_m,w_tr_left_m")
    return path


def assert_a_lap(track: Track, solution: Solution) -> None:
    """Within the edges and the friction circle, closed, and as long as its speeds take along its points."""
    offset, _, speed = solution.x.unbind(1)
    assert bool((offset <= track.at(track.left, solution.t) + 1e-6).all())
    assert bool((offset >= -track.at(track.right, solution.t) - 1e-6).all())
    assert float(solution.u.norm(dim=1).max()) <= HOLD * (1 + 1e-6)
    torch.testing.assert_close(solution.x[0], solution.x[-1], rtol=1e-6, atol=1e-6)
    points = track.points(solution.t, offset)
    torch.testing.assert_close(points[0], points[-1], rtol=0, atol=1e-5)
    seconds = (points.diff(dim=0).norm(dim=1) / ((speed[1:] + speed[:-1]) / 2)).sum()
    assert float(seconds) == pytest.approx(solution.cost, rel=1e-2)


@pytest.mark.parametrize("name", LAPS)
def test_real_circuits_from_nothing_but_the_track(tracks: Path, name: str) -> None:
    path = tracks / f"{name}.csv"
    problem, track = raceline(path), read_track(path)
    solution = problem.solve(round(track.length / 10) + 1, progress=False)
    assert solution.status is Status.CONVERGED
    assert solution.cost == pytest.approx(LAPS[name], abs=0.02)
    assert_a_lap(track, solution)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("scheme", ["trapezoidal", "hermite-simpson", RungeKutta(controls="constant")])
def test_a_ring_is_driven_along_its_inner_edge(tmp_path: Path, scheme: str | RungeKutta, reverse: bool) -> None:
    """A circle of radius r at the speed √(μ g r) takes 2π √(r/(μ g)): the smaller, the faster."""
    path = ring(tmp_path / "ring.csv", reverse=reverse)
    solution = raceline(path).solve(61, scheme, progress=False)
    assert solution.success
    inner = 46 if reverse else 47
    assert solution.cost == pytest.approx(2 * pi * sqrt(inner / HOLD), rel=1e-4)
    torch.testing.assert_close(
        solution.x[:, 0], torch.full((61,), inner - 50.0 if reverse else 50.0 - inner).double(), rtol=0, atol=1e-2
    )
    assert_a_lap(read_track(path), solution)


def test_grip_speed_and_margin(tmp_path: Path) -> None:
    path = ring(tmp_path / "ring.csv")
    slow = raceline(path, top_speed=10.0).solve(41, progress=False)
    assert slow.cost == pytest.approx(2 * pi * 47 / 10, rel=1e-4)
    careful = raceline(path, margin=1.0).solve(41, progress=False)
    assert careful.cost == pytest.approx(2 * pi * sqrt(48 / HOLD), rel=1e-4)
    icy = raceline(path, grip=0.3).solve(41, progress=False)
    assert icy.cost == pytest.approx(2 * pi * sqrt(47 / (0.3 * 9.81)), rel=1e-4)


def test_the_track_of_a_ring(tmp_path: Path) -> None:
    track = read_track(ring(tmp_path / "ring.csv"))
    assert track.length == pytest.approx(2 * pi * 50, rel=1e-6)
    torch.testing.assert_close(track.curvature, torch.full_like(track.curvature, 1 / 50), rtol=1e-3, atol=0)
    s = torch.linspace(0, track.length, 9, dtype=torch.float64)
    radius = track.points(s, torch.full_like(s, 2.0)).norm(dim=1)
    torch.testing.assert_close(radius, torch.full_like(s, 48.0), rtol=1e-5, atol=0)


def test_the_scene(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from banded.canvas import new_figure

    problem = raceline(ring(tmp_path / "ring.csv"))
    assert problem.scene is not None
    axes = new_figure((3, 3)).subplots()
    problem.scene(axes, 3.0, torch.tensor([1.0, 0.0, 20.0]).double(), torch.tensor([1.0, 5.0]).double())
    assert axes.has_data()


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        (lambda lines: [], "expected a first line with the columns x_m, y_m, w_tr_right_m, w_tr_left_m"),
        (lambda lines: ["# x_m,y_m", *lines[1:]], "w_tr_right_m, w_tr_left_m missing"),
        (lambda lines: [*lines[:3], "1.0,2.0,3.0", *lines[3:]], "line 4: expected 4 columns, got 3"),
        (lambda lines: [*lines[:3], "1.0,nan,3.0,3.0", *lines[4:]], "line 4: expected finite numbers, got '1.0,nan"),
        (lambda lines: [*lines[:3], "1.0,left,3.0,3.0", *lines[4:]], "line 4: expected numbers, got '1.0,left"),
        (lambda lines: lines[:5], "at least five points on a closed line, got 4"),
        (lambda lines: [*lines, lines[1]], "point 240 and the next coincide"),
        (lambda lines: [*lines[:3], "1.0,2.0,-3.0,3.0", *lines[4:]], "got -3.0 and 3.0 at point 2"),
    ],
)
def test_bad_files(tmp_path: Path, edit: Callable[[list[str]], list[str]], text: str) -> None:
    path = ring(tmp_path / "ring.csv")
    path.write_text("\n".join(edit(path.read_text().splitlines())))
    with pytest.raises(FileFormatError, match=text):
        raceline(path)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "track.csv").write_bytes(b"x_m,y_m\xff\xfe")
    with pytest.raises(FileFormatError, match="UTF-8"):
        raceline(tmp_path / "track.csv")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"grip": 0.0}, "grip: expected a positive number"),
        ({"top_speed": 3.0}, "top_speed: expected more than 5 m/s"),
        ({"margin": 4.0}, "margin: expected less than half of the track's least width, 7 m"),
    ],
)
def test_bad_arguments(tmp_path: Path, given: dict[str, float], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        raceline(ring(tmp_path / "ring.csv"), **given)


def test_the_example(example: Callable[[str], ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    laptime = example("laptime")
    picture, table = tmp_path / "new" / "lap.png", tmp_path / "lap.csv"
    track = str(ring(tmp_path / "ring.csv"))
    assert laptime.main([track, "--plot", str(picture), "-o", str(table)]) == 0
    assert "fastest lap 12.55" in capsys.readouterr().out
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert np.loadtxt(table, delimiter=",").shape == (64, 8)
    assert laptime.main(["nowhere.csv"]) == 2
    assert laptime.main([track, "--spacing", "0"]) == 2
    assert laptime.main([track, "--grip", "-1"]) == 2
    assert capsys.readouterr().err.count("laptime: ") == 3
