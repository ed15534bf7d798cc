"""The command with problems of optimal control."""

import sys
from pathlib import Path

import numpy as np
import pytest

from banded import PhasedSolution, Solution
from banded.cli import main
from banded.problems import CONTROL_PROBLEMS, PROBLEMS

PROBLEM = """
import torch, banded

def rates(x, u):
    return torch.stack([x[1], u[0]])

def effort(x, u):
    return u[0].square()

ends = {"initial_state": [0, 0], "final_state": [1, 0]}
problem = banded.ControlProblem(rates, 2, 1, running_cost=effort, **ends, title="my block")

def fixed():
    return problem

def sized(nodes=5):
    return banded.ControlProblem(rates, 2, 1, running_cost=effort, **ends, title=f"{nodes} of mine")

def stiff(x, u):
    return torch.stack([x[1], u[0].sqrt()])

apart = banded.ControlProblem(stiff, 2, 1, running_cost=effort, **ends, control_bounds=(-2, -1), guess={"u": [-1.0]})
far = banded.ControlProblem(rates, 2, 1, **ends, control_bounds=(-1, 1))

class Count:
    calls = 0

def tired(x, u):
    Count.calls += 1
    if Count.calls > 3:
        raise RuntimeError("enough")
    return rates(x, u)

weary = banded.ControlProblem(tired, 2, 1, **ends)
both = banded.ControlProblem(rates, 2, 1, running_cost=effort, initial_state=[[0, 0], [0.1, 0]], final_state=[1, 0])
there = banded.ControlProblem(rates, 2, 1, running_cost=effort, initial_state=[0, 0])
back = banded.ControlProblem(rates, 2, 1, running_cost=effort, initial_state=[1, 0], final_state=[0, 0])
legs = banded.Phases([there, back], title="there and back")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(PROBLEM)
    return tmp_path


def test_list_names_every_problem_with_its_size_and_title(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["list"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    listed = {words[0]: words[1:] for words in lines if words}
    assert set(listed) == {"name", *CONTROL_PROBLEMS, *PROBLEMS}
    assert " ".join(listed["swingup"]) == "4 states, 1 control cart-pole swing-up with the least force"
    assert listed["parking"][:4] == ["4", "states,", "2", "controls"]
    assert listed["chain"][1] == "unknowns"


def test_solve_shows_a_table_a_summary_and_a_picture(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert main(["solve", "swingup"]) == 0
    out = capsys.readouterr().out
    assert "inf_du" in out
    assert "converged: cost 58.89671" in out
    assert "101 nodes, trapezoidal" in out
    assert "picture: swingup.png" in out
    assert (folder / "swingup.png").read_bytes().startswith(b"\x89PNG")


def test_nodes_scheme_output_and_animation(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    arguments = ["solve", "block_move", "--nodes", "11", "--scheme", "hermite-simpson", "--quiet"]
    assert main([*arguments, "--output", "new/a.npz", "--plot", "new/a.svg", "--animate", "new/a.gif"]) == 0
    out = capsys.readouterr().out
    assert "11 nodes, hermite-simpson" in out
    assert "animation: new/a.gif" in out
    solution = Solution.load(folder / "new" / "a.npz")
    assert solution.cost == pytest.approx(12)
    assert solution.x.shape == (11, 2)
    assert "<svg" in (folder / "new" / "a.svg").read_text()
    assert (folder / "new" / "a.gif").read_bytes().startswith(b"GIF")
    assert not (folder / "block_move.png").exists()


@pytest.mark.parametrize(
    ("name", "nodes", "text"),
    [
        ("problem", [], "101 nodes"),
        ("problem", ["--nodes", "9"], "9 nodes"),
        ("fixed", ["--nodes", "9"], "9 nodes"),
        ("sized", ["--nodes", "9"], "9 of mine"),
    ],
)
def test_solve_a_problem_from_a_file(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, nodes: list[str], text: str
) -> None:
    assert main(["solve", f"mine.py:{name}", "--quiet", *nodes, "--output", "out.npz"]) == 0
    assert text in capsys.readouterr().out
    with np.load(folder / "out.npz") as saved:
        assert saved["x"].shape[1] == 2


def test_phases_are_solved_drawn_and_saved(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["solve", "mine.py:legs", "--quiet", "--nodes", "9", "--output", "out.npz"]) == 0
    assert "there and back" in capsys.readouterr().out
    assert PhasedSolution.load(folder / "out.npz").cost == pytest.approx(24, rel=0.1)
    assert (folder / "legs.png").is_file()


def test_a_grid_as_fine_as_an_accuracy_asks_for(folder: Path) -> None:
    for more, is_enough in (([], False), (["--accuracy", "1e-5"], True)):
        assert main(["solve", "swingup", "--quiet", "--nodes", "21", "--output", "out.npz", *more]) == 0
        assert (Solution.load(folder / "out.npz").accuracy <= 1e-5) is is_enough


def test_a_problem_without_solution_has_its_exit_status(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["solve", "mine.py:far", "--quiet"]) == 1
    told = capsys.readouterr().out
    assert told.startswith("infeasible")
    assert "Violated: dynamics of x0 from node " in told
    assert "Next: " in told


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["swing_up"], "or FILE.py:OBJECT, got 'swing_up'; 'swingup' may be meant"),
        (["pendulum"], "expected one of swingup, block_move,"),
        (["swingup", "--accuracy", "0"], "accuracy: expected a positive number such as 1e-6"),
        (["mine.py:legs", "--animate", "a.gif"], "--animate: expected a problem with a scene, which legs has none of"),
        (["swingup", "--nodes", "1"], "nodes: expected at least 2, got 1"),
        (["swingup", "--scheme", "simpson"], "scheme: expected one of euler, trapezoidal, hermite-simpson"),
        (["swingup", "--output", "out.txt"], "--output: expected a file name that ends in .npz, got out.txt"),
        (["swingup", "--plot", "out.xyz"], "out.xyz: expected a picture, of a format in"),
        (
            ["swingup", "--animate", "out.mp4"],
            "--animate: expected a file name that ends in .gif or .html, got out.mp4",
        ),
        (["mine.py:problem", "--animate", "a.gif"], "--animate: expected a problem with a scene, which problem has"),
        (
            ["mine.py:rates"],
            "mine.py:rates: expected a banded.ControlProblem, a banded.Problem, banded.Phases or a function that",
        ),
        (["mine.py:absent"], "expected an object named 'absent', found rates, effort, problem, fixed, sized,"),
        (["mine.py:apart"], "dynamics of x1: expected finite numbers at the guess, got some that are not at node 0"),
        (["mine.py:weary"], "mine.py, line 31: RuntimeError: enough"),
        (
            ["short.py:problem"],
            "short.py, line 2: ValueError: dynamics: expected shape (2,) at one node, got shape (1,)",
        ),
        (["unpacks.py:problem"], "unpacks.py, line 2: ValueError: not enough values to unpack"),
    ],
)
def test_bad_input_is_a_line_and_an_exit_status(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], text: str
) -> None:
    (folder / "short.py").write_text("import banded\nproblem = banded.ControlProblem(lambda x, u: u, 2, 1)\n")
    (folder / "unpacks.py").write_text(
        "import banded\ndef f(x, u): a, b, c = x\nproblem = banded.ControlProblem(f, 2, 1)\n"
    )
    assert main(["solve", *arguments, "--quiet"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("banded: ")
    assert text in error
    assert "Traceback" not in error


def test_without_matplotlib_the_solution_comes_and_the_reason_why_no_picture(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["solve", "block_move", "--quiet"]) == 0
    assert "no picture: pictures need matplotlib; install it with" in capsys.readouterr().out


def test_batches_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["solve", "mine.py:both", "--quiet", "--nodes", "5"]) == 2
    assert "banded: both: expected one problem, got a batch of 2; solve those from Python" in capsys.readouterr().err
