"""The picture of a plan: which probe shows which entry, and how it is recovered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from banded.canvas import new_figure
from banded.hessian.extraction import Extraction

if TYPE_CHECKING:
    from banded.canvas import Axes, Figure

SHOWN = 28  # unknowns at the beginning of the chain, and as many of the border
COLORS = "tab20"


def draw_plan(extraction: Extraction, probes: Tensor) -> Figure:
    """Pattern, probes and recovery, along the chain; of a long one its beginning.

    Args:
        extraction: what is drawn.
        probes: `(c + p, n)`, in the user's order.
    """
    structure = extraction.structure
    first = min(SHOWN, structure.core)
    order = structure.numbers(torch.device("cpu"))
    places = list(range(first)) + list(range(structure.core, structure.n))[:SHOWN]
    figure = new_figure((12.5, 4.6))
    pattern, middle, band = figure.subplots(1, 3, width_ratios=(5, 5, 5))
    _pattern(pattern, extraction, first)
    _probes(middle, extraction, probes.cpu()[:, order[places]].numpy(), first)
    _band(band, extraction, first)
    for axes in (pattern, middle, band):
        axes.title.set_fontsize(10)
        for axis in (axes.xaxis, axes.yaxis):
            axis.get_major_locator().set_params(integer=True)
    figure.suptitle(f"{len(probes)} products, {extraction.method}: n = {structure.n}, {structure}")
    return figure


def _pattern(axes: Axes, extraction: Extraction, first: int) -> None:
    """The matrix, each entry in the colour of the product that shows it."""
    structure, source = extraction.structure, extraction.recovery.sources().cpu().numpy()
    p = min(structure.border, SHOWN)
    picture = np.full((first + p, first + p), np.nan)
    for d in range(structure.bandwidth + 1):
        for j in range(first):
            i = (j + d) % structure.core
            if i < first and source[d, j] >= 0:
                picture[i, j] = picture[j, i] = source[d, j] % 20
    axes.imshow(picture, cmap=COLORS, vmin=0, vmax=19, interpolation="nearest")
    if p:
        grey = np.full_like(picture, np.nan)
        grey[first:], grey[:, first:] = 1, 1
        axes.imshow(grey, cmap="Greys", vmin=0, vmax=2, interpolation="nearest")
    where = "place along the chain" + (", border last" if p else "")
    axes.set(title="entries, by the product that shows them", xlabel=where)


def _probes(axes: Axes, extraction: Extraction, probes: np.ndarray, first: int) -> None:
    """The probes, one a row: in their colours where they are combs, else by their size."""
    if extraction.recovery.mix is None:
        picture = np.where(probes != 0, np.arange(len(probes))[:, None] % 20, np.nan)
        picture[len(probes) - extraction.structure.border :] = np.nan
        axes.imshow(picture, cmap=COLORS, vmin=0, vmax=19, aspect="auto", interpolation="nearest")
        border = np.where(probes != 0, 1.0, np.nan)
        border[: len(probes) - extraction.structure.border] = np.nan
        axes.imshow(border, cmap="Greys", vmin=0, vmax=2, aspect="auto", interpolation="nearest")
    else:
        largest = np.abs(probes).max()
        axes.imshow(probes, cmap="RdBu", vmin=-largest, vmax=largest, aspect="auto", interpolation="nearest")
    axes.axvline(first - 0.5, color="grey", linewidth=0.8, linestyle=":")
    scaled = extraction.recovery.scale is not None
    axes.set(title="probes" + (" (powers of two)" if scaled else ""), xlabel="place along the chain", ylabel="probe")


def _band(axes: Axes, extraction: Extraction, first: int) -> None:
    """The band as it is stored, and what is subtracted from what."""
    source = extraction.recovery.sources().cpu().numpy()[:, :first].astype(float)
    axes.imshow(
        np.where(source >= 0, source % 20, np.nan), cmap=COLORS, vmin=0, vmax=19, aspect="auto", interpolation="nearest"
    )
    d, j, other_d, other_j = extraction.recovery.links().numpy()
    drawn = (j < first) & (other_j < first)
    for ends in zip(j[drawn], other_j[drawn], d[drawn], other_d[drawn], strict=True):
        axes.plot(ends[:2], ends[2:], color="black", linewidth=0.8)
        axes.plot(ends[0], ends[2], ".", color="black", markersize=3)
    how = {"direct": "read off", "symmetric": "read off, less what the line comes from"}
    title = how.get(extraction.method, "read off the unmixed products")
    axes.set(title=f"band[d, j]: {title}", xlabel="j", ylabel="d")
