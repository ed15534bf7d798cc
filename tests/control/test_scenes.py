"""Scenes: strobes and animations."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from moves import block, dot, moved

from banded import Phases
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


def test_a_strobe_has_the_same_colors_at_all_instants() -> None:
    def scene(axes: Any, t: float, x: Any, u: Any) -> None:
        axes.plot([float(x[0]), t], [0, 1])
        axes.plot([float(x[0]), t], [1, 0])

    lines = replace(moved(), problem=block(scene=scene)).plot().axes[0].lines
    colors = [line.get_color() for line in lines]
    assert colors == colors[:2] * INSTANTS
    assert colors[0] != colors[1]


def test_phases_are_animated_one_after_the_other(tmp_path: Path) -> None:
    seen = []

    def scene(axes: Any, t: float, x: Any, u: Any) -> None:
        seen.append(t)
        dot(axes, t, x, u)

    there, back = block(scene=scene), block(initial_state=[1, 0], final_state=[0, 0])
    both = Phases([there, replace(back, scene=scene)]).solve(9)
    both.animate(tmp_path / "one.gif", 10)
    total = sum(frames(tmp_path / "one.gif"))
    assert total == pytest.approx(1000 * both.duration + 600, abs=200)
    assert (min(seen), max(seen)) == (0, 2)
    seen.clear()
    Phases([there, back]).solve(9).animate(tmp_path / "two.gif", 10)  # one without a scene is left out
    assert max(seen) < 1 <= max(seen) + 0.11
    with pytest.raises(ValueError, match="animate: expected a solution of a problem with a scene"):
        Phases([replace(there, scene=None), back]).solve(9).animate(tmp_path / "three.gif")


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
