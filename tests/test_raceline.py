"""The example raceline.py: four real circuits, where they lie beside the repository, and a made one everywhere."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

import banded

# squared curvature, 1/m: the line of the data's authors, and the optimum (Ipopt, bounds as they are, tolerance 1e-12)
CIRCUITS = {
    "Monza": (0.2326, 0.2050972046),
    "Silverstone": (0.3259, 0.3105695228),
    "Spa": (0.4102, 0.3878608729),
    "Nuerburgring": (0.4246, 0.4071703520),
}


@pytest.fixture(scope="module")
def raceline(example: Callable[[str], ModuleType]) -> ModuleType:
    return example("raceline")


def ring(path: Path, n: int = 60, radius: float = 50.0, width: float = 3.0) -> Path:
    """A circular track."""
    angle = 2 * np.pi * np.arange(n) / n
    columns = np.stack([radius * np.cos(angle), radius * np.sin(angle), np.full(n, width), np.full(n, width)], 1)
    np.savetxt(path, columns, delimiter=",", header="x_m,y_m,w_tr_right_m,w_tr_left_m")
    return path


def measure(points: np.ndarray) -> float:
    """Σ angle² / length of a closed line, point by point."""
    total = 0.0
    for i in range(len(points)):
        u, v = points[i] - points[i - 1], points[(i + 1) % len(points)] - points[i]
        angle = np.arctan2(u[0] * v[1] - u[1] * v[0], u @ v)
        total += angle**2 / ((np.hypot(*u) + np.hypot(*v)) / 2)
    return float(total)


@pytest.mark.parametrize("name", CIRCUITS)
def test_real_circuits(raceline: ModuleType, tracks: Path, name: str, tmp_path: Path) -> None:
    authors, optimum = CIRCUITS[name]
    output = tmp_path / "line.csv"
    assert raceline.main([str(tracks / f"{name}.csv"), "-o", str(output)]) == 0
    x, y, offset = np.loadtxt(output, delimiter=",").T
    *_, right, left = np.loadtxt(tracks / f"{name}.csv", delimiter=",").T
    assert (offset <= right + 1e-9).all()  # the file's rounding
    assert (offset >= -left - 1e-9).all()
    line = measure(np.stack([x, y], 1))
    assert measure(np.loadtxt(tracks / f"{name}_raceline.csv", delimiter=",")) == pytest.approx(authors, abs=6e-5)
    assert line < authors
    assert line == pytest.approx(optimum, rel=1e-7)


def test_a_ring_is_driven_along_its_outer_edge(raceline: ModuleType, tmp_path: Path) -> None:
    """Σ κ² ds = 2π / r on a circle: least where r is largest. Counter-clockwise, the outer edge is on the right."""
    track = raceline.read_track(ring(tmp_path / "ring.csv"))
    line = raceline.solve(track)
    np.testing.assert_allclose(line.offset, 3, atol=1e-6)
    assert line.curvature == pytest.approx(2 * np.pi / 53, rel=1e-3)
    assert bool(raceline.held(line).all())
    np.testing.assert_allclose(line.pull * len(line.pull), line.curvature / 53, rtol=1e-2)  # Σ κ² ds goes as 1 / r


@pytest.mark.parametrize("n", [5, 6, 9])
def test_tracks_of_few_points(raceline: ModuleType, tmp_path: Path, n: int) -> None:
    line = raceline.solve(raceline.read_track(ring(tmp_path / "ring.csv", n)))
    assert bool(torch.isfinite(line.offset).all())
    assert float(line.offset.min()) > 3 - 1e-6


def test_the_picture(raceline: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "line.png"
    assert raceline.main([str(ring(tmp_path / "ring.csv")), "--plot", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        (lambda lines: [], "expected a first line with the columns x_m, y_m, w_tr_right_m, w_tr_left_m"),
        (lambda lines: ["# x_m,y_m", *lines[1:]], "w_tr_right_m, w_tr_left_m missing"),
        (lambda lines: lines[1:], "missing"),
        (lambda lines: [*lines[:3], "1.0,2.0,3.0", *lines[3:]], "line 4: expected 4 columns, got 3"),
        (
            lambda lines: [*lines[:3], "1.0,nan,3.0,3.0", *lines[4:]],
            "line 4: expected a finite number in y_m, got 'nan'",
        ),
        (lambda lines: [*lines[:3], "1.0,2.0,inf,3.0", *lines[4:]], "line 4: expected a finite number in w_tr_right_m"),
        (lambda lines: [*lines[:3], "1.0,left,3.0,3.0", *lines[4:]], "line 4: .* got 'left'"),
        (lambda lines: lines[:5], "at least five points on a closed line, got 4"),
        (lambda lines: [*lines, lines[1]], "point 60 and the next coincide"),
        (
            lambda lines: [*lines[:3], "1.0,2.0,-3.0,3.0", *lines[4:]],
            "got -3.0 and 3.0 at point 2",
        ),
    ],
)
def test_bad_files(
    raceline: ModuleType,
    tmp_path: Path,
    edit: Callable[[list[str]], list[str]],
    text: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = ring(tmp_path / "ring.csv")
    path.write_text("\n".join(edit(path.read_text().splitlines())))
    with pytest.raises(banded.FileFormatError, match=text):
        raceline.read_track(path)
    assert raceline.main([str(path)]) == 2
    assert capsys.readouterr().err.startswith("raceline: ")


def test_a_track_without_width_leaves_no_room(
    raceline: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert raceline.main([str(ring(tmp_path / "ring.csv", width=0.0))]) == 2
    assert "width" in capsys.readouterr().err


def test_a_file_that_is_not_there(raceline: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert raceline.main(["nowhere.csv"]) == 2
    assert "nowhere.csv" in capsys.readouterr().err


def test_a_file_that_is_no_text(raceline: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "track.csv").write_bytes(b"x_m,y_m\xff\xfe")
    with pytest.raises(banded.FileFormatError, match="UTF-8"):
        raceline.read_track(tmp_path / "track.csv")
