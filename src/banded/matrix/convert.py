"""From and to the forms of SciPy, LAPACK and sparse tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from banded.errors import BandwidthError, NonFiniteError

if TYPE_CHECKING:
    from scipy.sparse import dia_array

ASYMMETRY = 100  # eps of the largest entry by which the two triangles of a symmetric matrix may differ
Entries: TypeAlias = tuple[Tensor, Tensor, Tensor, tuple[int, int]]


def array(band: Tensor) -> np.ndarray:
    """A band as a NumPy array, sharing memory where it can."""
    found: np.ndarray = band.detach().cpu().numpy()
    return found


def tensor(name: str, ab: Any) -> Tensor:
    """A band from what SciPy takes: an array, or a tensor, floating point or not."""
    band = ab if isinstance(ab, Tensor) else torch.as_tensor(_plain(np.asarray(ab)))
    if band.dtype.is_complex:
        raise TypeError(f"{name}: expected real numbers, got {band.dtype}")
    return band if band.dtype in (torch.float32, torch.float64) else band.double()


def _plain(ab: np.ndarray) -> np.ndarray:
    """In a form that PyTorch has, too: no negative strides, no foreign bytes; shared where it is already."""
    if ab.dtype.kind == "f" and ab.dtype not in (np.float16, np.float32, np.float64):
        ab = ab.astype(np.float64)
    return ab.copy() if any(stride < 0 for stride in ab.strides) else ab


def entries(matrix: Any) -> Entries:
    """Row, column and value of the entries of a sparse matrix, of SciPy or PyTorch, and its shape; repeated ones added.

    Raises:
        TypeError: if it is not a sparse matrix.
        ValueError: if it is a batch.
    """
    if isinstance(matrix, Tensor) and matrix.layout != torch.strided:
        found: Tensor = matrix.to_sparse(layout=torch.sparse_coo).coalesce()
        if found.ndim != 2 or found.sparse_dim() != 2:
            raise ValueError(f"matrix: expected one sparse matrix (m, n), got shape {tuple(found.shape)}")
        i, j = found.indices()
        return i, j, tensor("matrix", found.values()), (found.shape[0], found.shape[1])
    from scipy import sparse  # which takes a quarter of a second to load

    if not sparse.issparse(matrix):
        raise TypeError(
            f"matrix: expected a sparse matrix of SciPy or a sparse tensor, got {type(matrix).__name__}; "
            "from_dense takes a full one, from_scipy the array that solve_banded takes"
        )
    coo = sparse.coo_array(matrix)
    coo.sum_duplicates()
    i, j = (torch.as_tensor(np.asarray(one), dtype=torch.long) for one in (coo.row, coo.col))
    return i, j, tensor("matrix", coo.data), (int(coo.shape[0]), int(coo.shape[1]))


def check_symmetric(i: Tensor, j: Tensor, values: Tensor, n: int) -> None:
    """The entries of both triangles must agree.

    Raises:
        NonFiniteError: if one is NaN or infinite.
        ValueError: if they do not.
    """
    if not len(values):
        return
    from scipy import sparse  # as above

    one = sparse.coo_array((array(values), (array(i), array(j))), shape=(n, n)).tocsr()
    if not bool(torch.isfinite(values).all()):
        at = int((~torch.isfinite(values)).nonzero()[0])
        raise NonFiniteError(
            f"matrix: expected finite entries, got A[{int(i[at])}, {int(j[at])}] = {float(values[at])}"
        )
    apart = float(abs(one - one.T).max())
    if not apart <= ASYMMETRY * torch.finfo(values.dtype).eps * float(values.abs().max()):
        raise ValueError(
            f"matrix: expected a symmetric one, got entries that differ from those across the diagonal by {apart:.3g}; "
            "Banded.from_sparse takes any, (A + A.T) / 2 is symmetric"
        )


def check_width(name: str, needed: int, given: int) -> None:
    """Entries must lie within the width that was given."""
    if needed > given:
        raise BandwidthError(
            f"{name}: expected no entries further than {given} from the diagonal, found some at {needed}",
            leak=float("nan"),
            bandwidth=given,
            needed=needed,
        )


def diagonals(band: Tensor, upper: int, shape: tuple[int, int]) -> dia_array:
    """A SciPy matrix by diagonals, from a general band with zeros outside the matrix."""
    from scipy import sparse  # as above

    return sparse.dia_array((array(band), upper - np.arange(band.shape[-2])), shape=shape)
