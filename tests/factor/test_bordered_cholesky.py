import numpy as np
import pytest
import torch
from torch import Tensor

import oracles
from banded.errors import NonFiniteError, NotPositiveDefiniteError
from banded.factor import BorderedCholesky, Cholesky


def parts(batch: tuple[int, ...] = (), m: int = 6, p: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """Band, border and corner of a positive definite matrix; NaN above the diagonal of the corner."""
    band = oracles.lower_band(oracles.positive_definite(m, 2), 2).expand(*batch, 3, m).contiguous()
    corner = 50 * torch.eye(p).double() + torch.randn(*batch, p, p, dtype=torch.float64)
    above = torch.full((p, p), torch.nan).double().triu(1)
    return band, torch.randn(*batch, p, m, dtype=torch.float64), corner.tril() + above.nan_to_num(0.0) * 0 + above


def factor(band: Tensor, border: Tensor, corner: Tensor) -> BorderedCholesky:
    return BorderedCholesky(Cholesky(band), border, corner)


def dense(band: Tensor, border: Tensor, corner: Tensor) -> np.ndarray:
    """Row by row, from the definition; the parts unbatched."""
    m, p = border.shape[1], border.shape[0]
    A = np.zeros((m + p, m + p))
    for i in range(m + p):
        for j in range(i + 1):
            if i >= m:
                A[i, j] = border[i - m, j] if j < m else corner[i - m, j - m]
            elif i - j < len(band):
                A[i, j] = band[i - j, j]
            A[j, i] = A[i, j]
    return A
