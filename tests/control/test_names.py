"""Bounds and ends that are given by name."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from moves import block


def test_bounds_and_ends_by_name() -> None:
    listed = block(state_bounds=([-math.inf, -math.inf], [2, 1.4]), final_state=[1, math.nan], control_bounds=(-9, 9))
    named = block(state_bounds={"speed": (None, 1.4), "position": [-math.inf, 2]}, control_bounds={"force": (-9, 9)})
    assert replace(named, final_state={"position": 1, "speed": None}).solve(21).cost == listed.solve(21).cost
    assert named.solve(21, final_state={"position": 1.0}).cost == listed.solve(21).cost
    assert replace(named, control_bounds={}).stated.control_bounds[1].isinf().all()


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        (
            {"state_bounds": {"sped": (0, 1)}},
            ValueError,
            "state_bounds: expected names among position, speed, got 'sped'",
        ),
        (
            {"state_bounds": {"speed": 3}},
            TypeError,
            r"state_bounds: expected a pair \(lower, upper\) for each name, got 3",
        ),
        (
            {"state_bounds": {"speed": (3, 1)}},
            ValueError,
            r"state_bounds: expected lower <= upper, got 3\.0 and 1\.0 for speed",
        ),
        ({"control_bounds": {"force": ("a", 1)}}, TypeError, r"control_bounds\[0\]: expected a number, or 1 numbers"),
        ({"final_state": {"force": 1}}, ValueError, "final_state: expected names among position, speed, got 'force'"),
        (
            {"state_bounds": [(-1, 1), (0, 2), (3, 4)]},
            TypeError,
            "either is a number, or a list of one for each of position, speed; a dictionary has a pair for each name",
        ),
        (
            {"final_state": [1, None]},
            TypeError,
            r"got \[1, None\]; nan stands for what is free, inf for what has no bound",
        ),
        ({"final_state": {"speed": "fast"}}, TypeError, "final_state: expected a number, or 2 numbers"),
    ],
)
def test_names_that_say_nothing(given: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        block(**given)
