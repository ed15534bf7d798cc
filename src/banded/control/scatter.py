"""Additions to entries that tables name: by compiled loops on the CPU, by PyTorch's index operations elsewhere.

A problems at once; K units of R rows; E points with na arguments.
"""

from torch import Tensor


def add_weights(mu: Tensor, points: Tensor, coefficients: Tensor, first: int, part: Tensor) -> None:
    """Add coefficients `(K,)` times `part` `(A, K, R)` to R columns of mu `(A, E, ny)`, at points `(K,)`."""
    if _is_traced(mu, part):
        rows = part.shape[2]
        mu[:, :, first : first + rows].index_add_(1, points, coefficients[:, None] * part)
        return
    from banded.control import scatter_kernels  # numba takes half a second to load

    scatter_kernels.add_weights(mu.numpy(), points.numpy(), coefficients.numpy(), first, part.numpy())


def add_outputs(rows: Tensor, points: Tensor, coefficients: Tensor, first: int, outputs: Tensor) -> None:
    """Add coefficients times R of the outputs `(A, E, ny)` at points to rows `(A, K, R)`."""
    if _is_traced(rows, outputs):
        rows += coefficients[:, None] * outputs[:, points, first : first + rows.shape[2]]
        return
    from banded.control import scatter_kernels  # as above

    scatter_kernels.add_outputs(rows.numpy(), points.numpy(), coefficients.numpy(), first, outputs.numpy())


def add_entries(
    values: Tensor, points: Tensor, coefficients: Tensor, first: int, positions: Tensor, products: Tensor
) -> None:
    """Add coefficients times R columns of products `(A, E, na, ...)` at points to values `(A, K, R, w)`.

    Those of argument q go to the entries `positions[q]`.
    """
    if _is_traced(values, products):
        of = products[:, points, :, first : first + values.shape[2]].transpose(2, 3)
        values.index_add_(3, positions, coefficients[:, None, None] * of)
        return
    from banded.control import scatter_kernels  # as above

    scatter_kernels.add_entries(
        values.numpy(), points.numpy(), coefficients.numpy(), first, positions.numpy(), products.numpy()
    )


def add_gradient(gradient: Tensor, places: Tensor, part: Tensor) -> None:
    """Add `part` `(A, E, na)` to the entries `places` `(E, na)` of vectors `(A, n)`."""
    if _is_traced(gradient, part):
        gradient.index_add_(1, places.flatten(), part.flatten(1))
        return
    from banded.control import scatter_kernels  # as above

    scatter_kernels.add_gradient(gradient.numpy(), places.numpy(), part.numpy())


def add_cells(storage: Tensor, cells: Tensor, pairs: tuple[Tensor, Tensor], products: Tensor) -> None:
    """Add the entries `pairs` `(L,)` of products `(A, E, na, ...)` to cells `(E, L)` of storage `(A, C)`."""
    first, second = pairs
    if _is_traced(storage, products):
        storage.index_add_(1, cells.flatten(), products[:, :, first, second].flatten(1))
        return
    from banded.control import scatter_kernels  # as above

    scatter_kernels.add_cells(storage.numpy(), cells.numpy(), first.numpy(), second.numpy(), products.numpy())


def _is_traced(*tensors: Tensor) -> bool:
    """Whether PyTorch has to see what happens to one of them, or only PyTorch can reach it."""
    return any(one.requires_grad or one.device.type != "cpu" for one in tensors)
