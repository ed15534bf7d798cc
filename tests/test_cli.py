import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from banded.cli import main

PROBLEM = """
import torch, banded

def loss(x):
    return (x - 1).square().sum() + (x[1:] * x[:-1]).square().sum()

problem = banded.Problem(loss, torch.zeros(8, dtype=torch.float64), title="mine")

def sized(nodes=5):
    return banded.Problem(loss, torch.zeros(nodes, dtype=torch.float64))

def fixed():
    return problem

number = 3
taken = banded.Problem(loss, torch.zeros(8).double(), columns=lambda x: {"t": x, "x": x, "value": x})
ragged = banded.Problem(loss, torch.zeros(8).double(), columns=lambda x: {"t": x, "y": x[1:]})
filed = banded.Problem(loss, torch.zeros(8).double(), columns=lambda x: {"t": x, "file": x})
bare = banded.Problem(loss, torch.zeros(8).double(), columns=lambda x: x)
clumsy = banded.Problem(lambda x: (x + torch.zeros(3)).sum(), torch.zeros(8).double())
hopeless = banded.Problem(lambda x: (x**3).sum(), -torch.ones(3, dtype=torch.float64))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_file.py").write_text(PROBLEM)
    return tmp_path


def test_list_names_every_problem(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    for name in ("cartpole", "chain", "rosenbrock"):
        assert name in out


def test_solve_shows_a_table_a_summary_and_a_picture(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert main(["solve", "cartpole", "--nodes", "20"]) == 0
    out = capsys.readouterr().out
    assert "cart-pole swing-up, 20 nodes" in out
    assert "violation" in out
    assert "converged: f =" in out
    assert "picture: cartpole.png" in out
    assert (folder / "cartpole.png").read_bytes().startswith(b"\x89PNG")


def test_quiet_prints_the_summary_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["solve", "chain", "--quiet"]) == 0
    assert capsys.readouterr().out.startswith("converged: f =")


def test_plot_and_output_go_where_they_are_told(folder: Path) -> None:
    pytest.importorskip("matplotlib")
    arguments = ["solve", "cartpole", "--nodes", "10", "--quiet", "--plot", "new/a.svg", "--output", "new/b.npz"]
    assert main(arguments) == 0
    assert "<svg" in (folder / "new" / "a.svg").read_text()
    with np.load(folder / "new" / "b.npz") as saved:
        assert set(saved) >= {"x", "t", "angle", "force", "value", "status", "multipliers.equality", "gradient_norm"}
        assert saved["x"].shape == (9, 5)
        assert saved["t"].shape == saved["angle"].shape == (10,)
        assert saved["status"] == "CONVERGED"
        assert saved["history_value"][-1] == saved["value"]
        assert saved["violation"] < 1e-8
    assert not (folder / "cartpole.png").exists()


@pytest.mark.parametrize(
    ("name", "size", "unknowns"),
    [("problem", [], 8), ("sized", [], 5), ("sized", ["--nodes", "6"], 6), ("fixed", [], 8)],
)
def test_solve_a_problem_from_a_file(folder: Path, name: str, size: list[str], unknowns: int) -> None:
    assert main(["solve", f"my_file.py:{name}", "--quiet", "--output", "out.npz", *size]) == 0
    with np.load(folder / "out.npz") as saved:
        assert saved["x"].shape == (unknowns,)


def test_a_problem_without_solution_has_its_exit_status(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["solve", "my_file.py:hopeless", "--quiet"]) == 1
    assert "unbounded" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["nothing"], "dixmaano, dixmaanp, or FILE.py:OBJECT, got 'nothing'; `banded list` describes them"),
        (["absent.py:problem"], "absent.py: no such file"),
        (
            ["my_file.py:absent"],
            "expected an object named 'absent', found loss, problem, sized,",
        ),
        (
            ["my_file.py:number"],
            "expected a banded.ControlProblem, a banded.Problem, banded.Phases or a function that returns one, got int",
        ),
        (
            ["my_file.py:loss"],
            "a banded.Problem, banded.Phases or a function that returns one, got the function loss",
        ),
        (["my_file.py:taken"], "columns: expected names that are text, and none of the outcome's, got x, value"),
        (["my_file.py:ragged"], "columns: expected vectors of equal length, got t (8,), y (7,)"),
        (["my_file.py:bare"], "columns: expected a function that returns a dictionary"),
        (["broken.py:problem"], "broken.py, line 2: NameError: name 'nope' is not defined"),
        (["invalid.py:problem"], "invalid.py, line 1: SyntaxError"),
        (
            ["my_file.py:fixed", "--nodes", "3"],
            "--nodes: expected a control problem or a function of `nodes` that makes the problem, not my",
        ),
        (["my_file.py:problem", "--nodes", "3"], "--nodes"),
        (["cartpole", "--nodes", "1"], "nodes: expected at least 2, got 1"),
        (["chain", "--output", "out.txt"], "--output: expected a file name that ends in .npz, got out.txt"),
        (["chain", "--plot", "out.xyz"], "out.xyz: expected a picture, of a format in"),
        (["chain", "--plot", "."], "expected a file to draw into, got a folder"),
        (["leaves.py:problem"], "leaves.py, line 2: SystemExit"),
        (["my_file.py:filed"], "columns: expected names that are text"),
        (["my_file.py"], "expected FILE.py:OBJECT, such as my_file.py:problem, got 'my_file.py'"),
        (["empty.py:problem"], "empty.py: expected an object named 'problem', found no problem and no function"),
        (["null.py:problem"], "null.py"),
        (["chain", "--scheme", "euler"], "--scheme: expected a control problem, not chain; leave it out"),
        (["chain", "--animate", "a.gif"], "--animate: expected a control problem, not chain"),
        (["my_file.py:clumsy"], "my_file.py, line 20: RuntimeError: The size of tensor a"),
    ],
)
def test_bad_input_is_a_line_and_an_exit_status(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], text: str
) -> None:
    (folder / "broken.py").write_text("import banded\nnope\n")
    (folder / "leaves.py").write_text("import sys\nsys.exit(0)\n")
    (folder / "invalid.py").write_text("def\n")
    (folder / "empty.py").write_text("")
    (folder / "null.py").write_bytes(b"\0")
    assert main(["solve", *arguments, "--quiet"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("banded: ")
    assert text in error
    assert "Traceback" not in error


def test_the_command_is_installed() -> None:
    command = Path(sys.executable).with_name("banded")
    version = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert version.stdout.strip().count(".") == 2


def test_without_matplotlib_the_solution_comes_and_the_reason_why_no_picture(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["solve", "chain", "--quiet"]) == 0
    assert "no picture: pictures need matplotlib; install it with" in capsys.readouterr().out
    assert main(["solve", "chain", "--quiet", "--plot", "a.png"]) == 2
    assert "banded[plot]" in capsys.readouterr().err


def test_a_file_may_use_modules_beside_it_and_be_called_anything(folder: Path) -> None:
    (folder / "inner").mkdir()
    (folder / "inner" / "helper_of_mine.py").write_text(PROBLEM)
    (folder / "inner" / "numpy.py").write_text("from helper_of_mine import problem\n")
    assert main(["solve", "inner/numpy.py:problem", "--quiet"]) == 0
    assert np.__name__ == sys.modules["numpy"].__name__ == "numpy"


def test_a_picture_without_suffix_is_a_png(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert main(["solve", "chain", "--quiet", "--plot", "drawing"]) == 0
    assert "picture: drawing.png" in capsys.readouterr().out
    assert (folder / "drawing.png").exists()
