"""The picture of a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from banded.canvas import new_figure
from banded.hessian.extraction import Extraction

if TYPE_CHECKING:
    from banded.canvas import Figure


def draw_plan(extraction: Extraction, probes: Tensor) -> Figure:
    """Stub."""
    return new_figure((9, 4))
