"""A structure with a method of recovery: which vectors to multiply with, and the matrix from the products."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from banded.errors import RecoveryError
from banded.hessian.coloring import for_direct, for_symmetric
from banded.hessian.probes import exponentials, gaussian_mixture, indicators
from banded.hessian.recover import Direct, Mixed, Recovery
from banded.hessian.structure import Structure
from banded.hessian.substitute import Substitution
from banded.matrix import Symmetric

METHODS = ("direct", "symmetric", "fourier", "random", "auto")
OVERSAMPLING = 4  # random probes more than colours, for the condition of their mixture
WORTH = 2**15  # entries of products saved, from which symmetry pays for its longer recovery
AGREEMENT = 1e3  # eps by which the two ends of a chain may disagree, where "auto" chooses


@dataclass(frozen=True, eq=False)
class Extraction:
    """How the Hessian of one structure is read.

    Attributes:
        structure: where there are entries.
        method: "direct", "symmetric", "fourier" or "random".
        reason: why that one, or "".
        recovery: from products to the band of the core.
        like: a tensor with the dtype and device of the products.
    """

    structure: Structure
    method: str
    reason: str
    recovery: Recovery
    like: Tensor

    def probes(self, like: Tensor) -> Tensor:
        """`(c + p, n)`: of the core, then the unit vectors of the border, in the user's order."""
        structure, recovery = self.structure, self.recovery
        core = indicators(recovery.coloring.colors, recovery.coloring.count, like)
        if recovery.mix is not None:
            core = recovery.mix @ core
        if recovery.scale is not None:
            core = core * recovery.scale
        p, m = structure.border, structure.core
        whole = core.new_zeros(len(core) + p, structure.n)
        whole[: len(core), :m] = core
        whole[len(core) :, m:] = torch.eye(p, dtype=like.dtype, device=like.device)
        return whole if structure.place is None else whole[:, structure.place].contiguous()

    def recover(self, products: Tensor) -> Symmetric:
        """The matrix, from products `(..., c + p, n)`."""
        structure = self.structure
        p, m = structure.border, structure.core
        band = self.recovery(products[..., : products.shape[-2] - p, :])
        if not p:
            return structure.assemble(band, None, None)
        rows = products[..., -p:, :]
        if structure.order is not None:
            rows = rows[..., structure.order]
        corner = rows[..., m:]
        return structure.assemble(band, rows[..., :m].contiguous(), (corner + corner.mT) / 2)

    def gap(self, products: Tensor, H: Symmetric) -> float | None:
        """How far redundant equations disagree, relative to sqrt(|H_ii H_jj|), or None where there are none."""
        core = products[..., : products.shape[-2] - self.structure.border, :]
        return self.recovery.gap(core, H.band)

    def disagreement(self, products: Tensor, H: Symmetric) -> float:
        """The gap of substitution in eps; 0 for other methods; infinite where it is not a number."""
        gap = self.gap(products, H) if isinstance(self.recovery, Substitution) else None
        if gap is None:
            return 0.0
        return gap / torch.finfo(H.dtype).eps if gap == gap else float("inf")

    def directly(self) -> "Extraction":
        """The same structure, read directly."""
        return replace(
            extraction(self.structure, "direct", self.like, compiled=False), reason="substitution loses digits"
        )

    def rescaled(self, H: Symmetric, spread: float | None = None) -> "Extraction | None":
        """One with probes of the size that H asks for, where those of this one cost digits, `spread` at least."""
        try:
            recovery = self.recovery.rescaled(H.band) if spread is None else self.recovery.rescaled(H.band, spread)
        except RecoveryError as error:
            return replace(self.directly(), reason=str(error))
        return None if recovery is None else replace(self, recovery=recovery)


def extraction(structure: Structure, method: str, like: Tensor, *, compiled: bool) -> Extraction:
    """The extraction of a structure by a method, "auto" included.

    Args:
        structure: where there are entries.
        method: one of `METHODS`.
        like: a tensor with the dtype and device of the products.
        compiled: whether products are cheap, compared with the recovery.
    """
    reason = ""
    if method == "symmetric" and structure.periodic:
        method, reason = "direct", "on a loop, symmetry saves no products: any two colours close an even cycle"
    if method == "auto":
        method, reason = _choose(structure, like, compiled=compiled)
    if method == "symmetric":
        coloring = for_symmetric(structure, like.device)
        return Extraction(structure, method, reason, Substitution(structure, coloring, like), like)
    coloring = for_direct(structure, like.device)
    direct = Direct(structure, coloring, like.device, smaller=method in ("fourier", "random"))
    if method == "fourier":
        mixed = Mixed(direct, exponentials(coloring.count, like), fourier=True)
    elif method == "random":
        mixture = gaussian_mixture(coloring.count + OVERSAMPLING, coloring.count, like)
        mixed = Mixed(direct, mixture, fourier=False)
    else:
        return Extraction(structure, method, reason, direct, like)
    return Extraction(structure, method, reason, mixed, like)


def _choose(structure: Structure, like: Tensor, *, compiled: bool) -> tuple[str, str]:
    """By counts alone, so that the same function gets the same method every time."""
    if structure.periodic:
        return "direct", "on a loop, symmetry saves no products"
    if like.ndim > 1:
        return "direct", "problems of a batch may be scaled differently"
    direct, symmetric = (color(structure, like.device).count for color in (for_direct, for_symmetric))
    saved = direct - symmetric
    if saved <= 0:
        return "direct", "symmetry saves no products"
    if saved == 1 or saved * structure.n < WORTH:
        return "direct", f"fewer products ({symmetric}) would not pay for their recovery"
    if compiled and 2 * saved <= structure.bandwidth + 1:
        return "direct", f"fewer compiled products ({symmetric}) would not pay for their recovery"
    return "symmetric", f"direct takes {direct}"
