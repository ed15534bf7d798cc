"""Solutions in files."""

import zipfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from moves import SCHEMES, block, hasty, moved
from torch import Tensor

import banded
from banded import FileFormatError, Solution
from banded.control.activity import findings

KEYS = ["t", "x", "u", "cost", "status", "duration", "parameters", "costates", "path_multipliers", "error", "states"]
KEYS += ["controls", "parameter_names", "scheme", "curves_x", "curves_u", "iterations", "seconds", "history", "version"]
KEYS += ["asked", "missed", "findings"]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_everything_but_result_and_problem_comes_back(scheme: str, tmp_path: Path) -> None:
    solution = moved(scheme)
    solution.save(tmp_path / "deep" / "one.npz")
    found = Solution.load(tmp_path / "deep" / "one.npz")
    for name in {one.name for one in fields(Solution)} - {"curves", "result", "problem", "findings"}:
        wanted, got = getattr(solution, name), getattr(found, name)
        assert type(wanted) is type(got), name
        assert torch.equal(wanted, got) if isinstance(wanted, Tensor) else wanted == got, name
    times = torch.linspace(0, 1, 37, dtype=torch.float64)
    for wanted, got in zip(solution(times), found(times), strict=True):
        assert torch.equal(wanted, got)
    assert found.problem is None
    assert found.result is None
    assert found.success
    assert str(found).endswith(str(solution).split("\n", 1)[1])


def test_all_kinds_of_solutions(tmp_path: Path) -> None:
    many = banded.ControlProblem(
        dynamics=lambda x, u, p: p[:1] - x,
        states=1,
        parameters=("goal", "other"),
        parameter_bounds=(0, 2),
        final_cost=lambda x, p: (x[0] - 1) ** 2 + (p[1] - 1) ** 2,
        initial_state=[0],
        path_constraint=lambda x, u: 2 - x[0],
    )
    for problem in (many, hasty(), block(control_bounds=(-1, 1))):
        solution = problem.solve(8)
        solution.save(tmp_path / "one.npz")
        found = Solution.load(str(tmp_path / "one.npz"), problem)
        assert found.status is solution.status
        assert found.history == solution.history
        assert torch.equal(found.path_multipliers, solution.path_multipliers)
        assert torch.equal(found.parameters, solution.parameters)
        assert found.simulate().cost == solution.simulate().cost
        assert found.findings == findings(solution)
        assert found.explain() == solution.explain()
        found.save(tmp_path / "two.npz")
        assert Solution.load(tmp_path / "two.npz").findings == found.findings


def test_what_is_active_is_told_and_drawn_without_the_problem(tmp_path: Path) -> None:
    moved().save(tmp_path / "one.npz")
    found = Solution.load(tmp_path / "one.npz")
    assert found.explain() == moved().explain().removeprefix("block move\n")
    assert "  force <= 5: t = 0 to 0." in found.explain()
    *_, lanes = found.plot().axes
    assert [one.get_text() for one in lanes.get_yticklabels()] == ["force >= -5", "force <= 5"]


def test_what_was_asked_for_comes_back(tmp_path: Path) -> None:
    solution = block(control_bounds=(-5, 5)).solve(5, accuracy=1e-9, max_nodes=7)
    solution.save(tmp_path / "one.npz")
    found = Solution.load(tmp_path / "one.npz")
    assert (found.asked, found.missed) == (1e-9, solution.missed)
    assert "max_nodes=7" in found.missed


def test_a_loaded_solution_is_a_guess(tmp_path: Path) -> None:
    moved().save(tmp_path / "one.npz")
    again = block(control_bounds=(-5, 5)).solve(21, guess=Solution.load(tmp_path / "one.npz"))
    torch.testing.assert_close(again.x, moved().x)


def test_a_problem_with_other_states_is_refused(tmp_path: Path) -> None:
    moved().save(tmp_path / "one.npz")
    with pytest.raises(FileFormatError, match="expected a solution of states"):
        Solution.load(tmp_path / "one.npz", block(states=("a", "b")))


@pytest.mark.parametrize("name", ["one.npy", "one", "one.txt", "one.npz.bak"])
def test_files_are_npz(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"ends in \.npz"):
        moved().save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def arrays(path: Path) -> dict[str, Any]:
    moved().save(path)
    with np.load(path) as file:
        return dict(file)


@pytest.mark.parametrize("key", KEYS)
def test_a_missing_or_strange_entry_is_named(key: str, tmp_path: Path) -> None:
    path = tmp_path / "one.npz"
    whole = arrays(path)
    assert sorted(whole) == sorted(KEYS)
    np.savez(path, **{name: one for name, one in whole.items() if name != key})
    with pytest.raises(FileFormatError, match=f"'{key}'.* is missing"):
        Solution.load(path)
    np.savez(path, **{**whole, key: np.array([b"x"])})
    with pytest.raises(FileFormatError, match=f"expected '{key}' of another type"):
        Solution.load(path)


STRANGE = [
    ("x", np.zeros((21, 3)), r"'x' of shape \(21, 2\), got \(21, 3\)"),
    ("x", np.zeros((20, 2)), r"'x' of shape \(21, 2\), got \(20, 2\)"),
    ("t", np.zeros(21), "rising times"),
    ("error", np.zeros(21), r"'error' of shape \(20\)"),
    ("curves_x", np.zeros((20, 2)), r"'curves_x' of shape \(20, qx, 2\)"),
    ("status", np.array("FINE"), "expected a status such as CONVERGED, got 'FINE'"),
    ("status", np.array(["CONVERGED"]), "a single one"),
    ("findings", np.array("{"), "expected 'findings' that Solution.save wrote, got others"),
    ("findings", np.array("[1]"), "expected 'findings' that"),
    ("findings", np.array('{"active": [{"name": "x"}], "violated": [], "ends": []}'), "expected 'findings' that"),
    ("version", np.array(99), "expected version 1, got 99"),
    ("history", np.zeros((4, 2)), "columns"),
]


@pytest.mark.parametrize(("key", "value", "message"), STRANGE)
def test_what_does_not_fit_is_told(key: str, value: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "one.npz"
    np.savez(path, **{**arrays(path), key: value})
    with pytest.raises(FileFormatError, match=message):
        Solution.load(path)


def test_garbage_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "one.npz"
    whole = arrays(path)
    good = path.read_bytes()
    for bad in (b"", b"garbage", b"PK\x03\x04 garbage", good[: len(good) // 2], b"\x93NUMPY\x01\x00" + b"x" * 40):
        path.write_bytes(bad)
        with pytest.raises(FileFormatError, match=r"expected a file that Solution\.save wrote"):
            Solution.load(path)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("t.npy", b"garbage")
        file.writestr("readme.txt", b"hello")
    with pytest.raises(FileFormatError):
        Solution.load(path)
    with path.open("wb") as plain:
        np.save(plain, whole["t"])
    with pytest.raises(FileFormatError, match="expected a file"):
        Solution.load(path)
    with pytest.raises(FileFormatError, match="got a folder"):
        Solution.load(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such file"):
        Solution.load(tmp_path / "none.npz")


class Trap:
    """What must never be unpickled."""

    sprung = False

    def __reduce__(self) -> Any:
        return setattr, (Trap, "sprung", True)


def test_pickles_are_never_opened(tmp_path: Path) -> None:
    path = tmp_path / "one.npz"
    np.savez(path, **{**arrays(path), "t": np.array([Trap()], dtype=object)})
    with pytest.raises(FileFormatError, match="expected a file"):
        Solution.load(path)
    assert not Trap.sprung
