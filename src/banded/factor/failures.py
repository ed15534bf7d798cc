"""What the factorisations say where they fail, written once."""

import numpy as np
import torch

from banded.errors import NonFiniteError, NotPositiveDefiniteError, SingularError


def not_positive_definite(row: int, number: int, batch: torch.Size) -> NotPositiveDefiniteError:
    """The leading minor that ends with `row` is not positive, in the matrix of that number in the batch."""
    return NotPositiveDefiniteError(
        f"expected a positive definite matrix, got one whose leading minor of order {row + 1} is not "
        f"(row {row}{_of_batch(number, batch)}); add_diagonal(...) with a positive number regularises it",
        row=row,
        number=number,
    )


def singular(row: int, number: int, batch: torch.Size) -> SingularError:
    """The pivot of a row is zero, in the matrix of that number in the batch."""
    return SingularError(
        f"expected a matrix that has an inverse, got one that is singular (row {row}{_of_batch(number, batch)}): that "
        "row is a combination of others; a small number added to its diagonal regularises it",
        row=row,
        number=number,
    )


def lost_in_core(row: int, number: int, batch: torch.Size) -> SingularError:
    """What is left of the core but for its border is singular, or nearly, whatever the whole is."""
    return SingularError(
        f"expected a core that has an inverse, got one that is singular or nearly so (row {row}"
        f"{_of_batch(number, batch)}), which hides whether the whole matrix is: it is factored by the Schur complement "
        "of its core; more unknowns in the border, or a small number added to the diagonal, help",
        row=row,
        number=number,
    )


def not_finite(row: int, column: int, value: float, number: int, batch: torch.Size) -> NonFiniteError:
    """An entry is NaN or infinite, in the matrix of that number in the batch."""
    return NonFiniteError(f"expected finite entries, got A[{row}, {column}] = {value}{_of_batch(number, batch)}")


def overflow(number: int, batch: torch.Size) -> NonFiniteError:
    """All entries are finite, what is computed from them is not."""
    return NonFiniteError(
        f"expected pivots that fit the floating-point range, got an overflow{_of_batch(number, batch)}; "
        "scale the matrix"
    )


def _of_batch(number: int, batch: torch.Size) -> str:
    """` of matrix [1, 2] in the batch`, the batch counted row by row; nothing where there is but one matrix."""
    if not batch:
        return ""
    return f" of matrix {[int(place) for place in np.unravel_index(number, batch)]} in the batch"
