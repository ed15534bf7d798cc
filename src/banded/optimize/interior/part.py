"""Some of the problems of a phase."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from banded.optimize.interior.phase import STATE, Phase, part_of


class Part(Phase):
    """Some of the problems of a phase; of what they are, only that is taken which is asked for.

    It is true until anything of the whole changes.

    Args:
        whole: the phase.
        rows: the problems.
    """

    def __init__(self, whole: Phase, rows: Tensor) -> None:
        self._whole, self._index = whole, rows
        self._found: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        """Of the whole, when it is first asked for."""
        if name.startswith("__"):
            raise AttributeError(name)
        one = getattr(self._whole, name)
        if name in STATE:
            one = part_of(one, self._index)
            self._found[name] = one
        setattr(self, name, one)
        return one

    def put_back(self) -> None:
        """Let the whole have what has changed here."""
        now = vars(self)
        changed = [name for name in STATE if name in now and now[name] is not self._found.get(name)]
        self._whole.put(self._index, self, changed)
