"""Scenes: strobes and animations."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from moves import block, dot, moved

from banded.control.scenes import INSTANTS

pytest.importorskip("matplotlib")


def frames(path: Path) -> list[float]:
    """Milliseconds of each."""
    from PIL import Image, ImageSequence

    with Image.open(path) as image:
        return [frame.info["duration"] for frame in ImageSequence.Iterator(image)]


@pytest.mark.parametrize(("fps", "speed"), [(10, 1), (25, 0.5), (30, 1)])
def test_a_gif_runs_in_real_time(fps: float, speed: float, tmp_path: Path) -> None:
    moved().animate(tmp_path / "new" / "one.gif", fps, speed=speed)
    total = sum(frames(tmp_path / "new" / "one.gif"))
    assert total == pytest.approx(1000 / speed + 600, abs=2000 / fps)


def test_a_page_holds_its_frames(tmp_path: Path) -> None:
    moved().animate(str(tmp_path / "one.html"), 10)
    text = (tmp_path / "one.html").read_text(encoding="utf-8")
    assert text.count("data:image/png;base64") == 17
    assert sorted(tmp_path.iterdir()) == [tmp_path / "one.html"]


def test_the_scene_is_called_with_plain_arguments(tmp_path: Path) -> None:
    seen = []

    def scene(axes: Any, t: float, x: Any, u: Any) -> None:
        seen.append((type(t), tuple(x.shape), tuple(u.shape)))
        dot(axes, t, x, u)

    solution = replace(moved(), problem=block(scene=scene))
    solution.animate(tmp_path / "one.gif", 10)
    assert set(seen) == {(float, (2,), (1,))}


def test_a_strobe_fades_what_was_earlier() -> None:
    top = moved().plot().axes[0]
    alphas = [float(line.get_alpha() or 0) for line in top.lines if line.get_marker() == "o"]
    assert len(alphas) == INSTANTS
    assert alphas == sorted(alphas)
    assert alphas[-1] == 1


def test_errors_say_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "one.gif"
    with pytest.raises(ValueError, match=r"give the problem one: ControlProblem\(\.\.\., scene=\.\.\.\)"):
        block().solve(5).animate(path)
    for name in ("one.mp4", "one"):
        with pytest.raises(ValueError, match=r"ends in \.gif or \.html"):
            moved().animate(tmp_path / name)
    for fps, speed in ((0, 1), (-5, 1), (10, 0)):
        with pytest.raises(ValueError, match="expected positive numbers"):
            moved().animate(path, fps, speed=speed)
    with pytest.raises(ValueError, match=r"at most 2000 frames, got 1e-05.*; 0\.1 makes an animation of 10 seconds"):
        moved().animate(path, speed=1e-5)
    assert not list(tmp_path.iterdir())
