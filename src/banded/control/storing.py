"""Solutions in files: NumPy's .npz, without pickles."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from banded.control.activity import Active, Findings, Span, Violated, findings
from banded.control.curves import Curves
from banded.errors import FileFormatError
from banded.optimize import Record, Status

if TYPE_CHECKING:
    from banded.control.solution import Solution

VERSION = 1
SHAPES = {
    "t": ("T",),
    "x": ("T", "nx"),
    "u": ("T", "nu"),
    "parameters": ("np",),
    "costates": ("T", "nx"),
    "path_multipliers": ("P", "ng"),
    "error": ("N",),
    "curves_x": ("N", "qx", "nx"),
    "curves_u": ("N", "qu", "nu"),
    "cost": (),
    "duration": (),
    "seconds": (),
    "asked": (),
}
APART = {"curves_x", "curves_u", "asked"}  # of them, what solutions have in other forms
NAMES = {"states": "nx", "controls": "nu", "parameter_names": "np"}


def save(solution: Solution, path: Path) -> None:
    """Write all but the problem and the optimiser's result, making the folder.

    Raises:
        ValueError: if the name of the file does not end in .npz.
    """
    _write(path, _arrays(solution))


def save_phases(phases: Sequence[Solution], names: Sequence[str], path: Path) -> None:
    """Write solutions of phases: what is of phase 0 as `0.t`, and so on.

    Raises:
        ValueError: as `save`.
    """
    numbered = {f"{k}.{key}": one for k, phase in enumerate(phases) for key, one in _arrays(phase).items()}
    _write(path, {"phases": np.array(names, dtype=np.str_), **numbered})


def _write(path: Path, arrays: Mapping[str, Any]) -> None:
    if path.suffix != ".npz":
        raise ValueError(f"{path}: expected the name of a file that ends in .npz")
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)


def _arrays(solution: Solution) -> dict[str, Any]:
    return {
        **{name: np.asarray(getattr(solution, name)) for name in SHAPES if name not in APART},
        **{name: np.array(getattr(solution, name), dtype=np.str_) for name in NAMES},
        "curves_x": solution.curves.x.numpy(),
        "curves_u": solution.curves.u.numpy(),
        "status": solution.status.name,
        "scheme": solution.scheme,
        "asked": np.nan if solution.asked is None else solution.asked,
        "missed": solution.missed,
        "findings": _written(findings(solution)),
        "iterations": solution.iterations,
        "history": np.array([_numbers(one) for one in solution.history]).reshape(-1, len(Record._fields)),
        "version": VERSION,
    }


def load(path: Path) -> dict[str, Any]:
    """What makes a solution.

    Raises:
        FileNotFoundError: if there is no such file.
        FileFormatError: if it holds no solution.
    """
    arrays = _read(path)
    if "phases" in arrays:
        raise FileFormatError(f"{path}: expected a solution of one phase, got one of many: see PhasedSolution.load")
    return _solution(path, arrays)


def load_phases(path: Path) -> tuple[tuple[str, ...], list[dict[str, Any]]]:
    """Names of phases, and what makes the solution of each.

    Raises:
        FileNotFoundError: if there is no such file.
        FileFormatError: if it holds no solution of phases.
    """
    arrays = _read(path)
    if "phases" not in arrays:
        raise FileFormatError(f"{path}: expected a file that PhasedSolution.save wrote; it has no 'phases'")
    names = tuple(_array(path, arrays, "phases", "U").ravel().tolist())
    if not names:
        raise FileFormatError(f"{path}: expected names in 'phases', got none")
    each: list[dict[str, np.ndarray]] = [{} for _ in names]
    for key, one in arrays.items():
        number, dot, name = key.partition(".")
        if dot and number.isdecimal() and int(number) < len(names):
            each[int(number)][name] = one
    return names, [_solution(path, one) for one in each]


def _solution(path: Path, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    if (version := _scalar(path, arrays, "version", int)) != VERSION:
        raise FileFormatError(f"{path}: expected version {VERSION}, got {version}, of another version of banded")
    numbers = _numbers_of(path, arrays)
    asked = float(numbers.pop("asked"))
    curves = Curves(numbers["t"], numbers.pop("curves_x"), numbers.pop("curves_u"))
    status = str(_scalar(path, arrays, "status", str))
    if status not in Status.__members__:
        raise FileFormatError(f"{path}: expected a status such as CONVERGED, got {status!r}")
    return {
        **{name: one if one.ndim else float(one) for name, one in numbers.items()},
        **{name: tuple(_array(path, arrays, name, "U").tolist()) for name in NAMES},
        "curves": curves,
        "status": Status[status],
        "scheme": str(_scalar(path, arrays, "scheme", str)),
        "asked": None if isnan(asked) else asked,
        "missed": str(_scalar(path, arrays, "missed", str)),
        "findings": _findings(path, str(_scalar(path, arrays, "findings", str))),
        "iterations": _scalar(path, arrays, "iterations", int),
        "history": _history(path, arrays),
    }


def _written(found: Findings | None) -> str:
    return json.dumps(None if found is None else asdict(found))


def _findings(path: Path, text: str) -> Findings | None:
    """What `_written` made a text of.

    Raises:
        FileFormatError: if it is another.
    """
    try:
        found = json.loads(text)
        if found is None:
            return None
        return Findings(
            tuple(_active(**one) for one in found["active"]),
            tuple(Violated(str(name), float(number)) for name, number in found["violated"]),
            tuple(map(str, found["ends"])),
            None if found["violation"] is None else float(found["violation"]),
        )
    except (ValueError, TypeError, KeyError) as error:
        raise FileFormatError(f"{path}: expected 'findings' that Solution.save wrote, got others: {error}") from error


def _active(name: str, of: str | None, is_upper: bool, spans: Sequence[Sequence[Any]], force: float) -> Active:
    runs = ((float(first), float(last), (int(a), int(b)), float(most)) for first, last, (a, b), most in spans)
    return Active(str(name), of, bool(is_upper), tuple(Span(*run) for run in runs), float(force))


def _read(path: Path) -> Mapping[str, np.ndarray]:
    """All arrays of a file."""
    if path.is_dir():
        raise FileFormatError(f"{path}: expected a file that Solution.save wrote, got a folder")
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            if isinstance(file, np.ndarray):
                raise ValueError("a single array")
            return {name: file[name] for name in file.files}
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path}: no such file") from error
    except (OSError, ValueError, EOFError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise FileFormatError(
            f"{path}: expected a file that Solution.save wrote (.npz), got another: {error}"
        ) from error


def _array(path: Path, arrays: Mapping[str, np.ndarray], name: str, kind: str) -> np.ndarray:
    """One of a kind, as NumPy's letters tell it."""
    if name not in arrays:
        raise FileFormatError(f"{path}: expected a file that Solution.save wrote, which has {name!r}; it is missing")
    if arrays[name].dtype.kind not in kind:
        raise FileFormatError(f"{path}: expected {name!r} of another type, got {arrays[name].dtype}")
    return arrays[name]


def _scalar(path: Path, arrays: Mapping[str, np.ndarray], name: str, kind: type) -> Any:
    found = _array(path, arrays, name, "U" if kind is str else "iu")
    if found.ndim:
        raise FileFormatError(f"{path}: expected {name!r} to be a single one, got shape {found.shape}")
    return kind(found)


def _numbers_of(path: Path, arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """Those of `SHAPES`, whose dimensions agree."""
    known: dict[str, int] = {name: len(_array(path, arrays, key, "U").ravel()) for key, name in NAMES.items()}
    found = {}
    for name, shape in SHAPES.items():
        array = _array(path, arrays, name, "fiu")
        lengths = dict(zip(shape, array.shape, strict=False))
        if array.ndim != len(shape) or any(known.get(key, one) != one for key, one in lengths.items()):
            raise FileFormatError(f"{path}: expected {name!r} of shape {_told(shape, known)}, got {array.shape}")
        known |= lengths
        if "T" in lengths:
            known["N"] = lengths["T"] - 1
        found[name] = torch.from_numpy(np.array(array, dtype=np.float64))
    if known["N"] < 1 or not bool((found["t"].diff() > 0).all()):
        raise FileFormatError(f"{path}: expected rising times of at least 2 nodes in 't'")
    return found


def _told(shape: tuple[str, ...], known: Mapping[str, int]) -> str:
    return f"({', '.join(str(known.get(one, one)) for one in shape)})"


def _numbers(record: Record) -> list[float]:
    return [float("nan") if one is None else float(one) for one in record]


def _history(path: Path, arrays: Mapping[str, np.ndarray]) -> tuple[Record, ...]:
    rows = _array(path, arrays, "history", "f")
    if rows.ndim != 2 or rows.shape[1] != len(Record._fields):
        raise FileFormatError(f"{path}: expected 'history' with {len(Record._fields)} columns, got shape {rows.shape}")
    return tuple(_record(row.tolist()) for row in rows)


def _record(numbers: Sequence[float]) -> Record:
    """Whole numbers as such, and nan as None where that may be."""
    one: dict[str, Any] = dict(zip(Record._fields, numbers, strict=True))
    one |= {name: None for name in ("violation", "barrier", "dual_step", "length", "trials") if isnan(one[name])}
    one |= {name: int(one[name]) for name in ("iteration", "evaluations", "trials") if one[name] is not None}
    return Record(**{**one, "restoration": bool(one["restoration"])})
