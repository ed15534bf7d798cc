"""Log-determinant and band of the inverse of a positive definite band, with derivatives in linear time.

d log det A = tr(A⁻¹ dA) needs of A⁻¹ only the band: that is Takahashi's. Its own derivative, d(A⁻¹) = -A⁻¹ dA A⁻¹
on the band, is symmetric as a map of bands (the second derivative of log det), so one function
serves forward and backward; it is taken by a complex step (Squire & Trapp 1998, SIAM Rev. 40:110-112).
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from banded import bands
from banded.compiling import outside_graphs
from banded.factor.batched_gradients import each_at_once, is_batched
from banded.factor.derivatives import differentiable_under_vmap, refuse_nested_forward_mode
from banded.factor.threads import over_batch

STEP = 1e-100  # relative; its square is nothing beside 1


@outside_graphs
def logdet(band: Tensor, L: Tensor) -> Tensor:
    """Log det A `(...)`, from the band of A and its factor `(..., n, k + 1)`."""
    value: Tensor = _LogDet.apply(band, L)  # type: ignore[no-untyped-call]
    return value


@outside_graphs
def inverse_band(band: Tensor, L: Tensor) -> Tensor:
    """The band `(..., k + 1, n)` of A⁻¹, zero outside the matrix."""
    found: Tensor = _InverseBand.apply(band, L)  # type: ignore[no-untyped-call]
    return found


def _twice(band: Tensor) -> Tensor:
    """`(k + 1, 1)`: how often a cell of the band stands in the matrix."""
    twice = torch.full((band.shape[-2], 1), 2.0, dtype=band.dtype, device=band.device)
    twice[0] = 1
    return twice


def takahashi(L: Tensor) -> Tensor:
    """The band of A⁻¹ from L `(..., n, k + 1)` (Takahashi, Fagan & Chen 1973; Erisman & Tinney 1975)."""
    from banded.factor import cholesky_kernels  # numba takes half a second to load

    source = L.detach().cpu().contiguous().numpy()
    found = np.empty_like(source)
    batch = (int(np.prod(L.shape[:-2])), *L.shape[-2:])
    over_batch(cholesky_kernels.inverse_band, source.reshape(batch), found.reshape(batch))
    # transposed by NumPy: forward mode outside torch.func fails for what PyTorch takes for a view
    return torch.from_numpy(found.swapaxes(-1, -2)).to(L.device)


class _LogDet(torch.autograd.Function):
    @staticmethod
    def forward(band: Tensor, L: Tensor) -> Tensor:
        return 2 * L.detach()[..., 0].log().sum(-1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None]:
        band, L = ctx.saved_tensors
        return (gradients[0][..., None, None] * _twice(band)) * inverse_band(band, L), None

    @staticmethod
    def jvp(ctx: Any, band: Tensor, _: None) -> Tensor:
        refuse_nested_forward_mode()
        inside = bands.inside_symmetric(band.shape[-2], band.shape[-1], band.device)
        return (_twice(band) * inverse_band(*ctx.saved_tensors) * torch.where(inside, band, 0)).sum((-2, -1))

    vmap = differentiable_under_vmap(logdet)


class _InverseBand(torch.autograd.Function):
    @staticmethod
    def forward(band: Tensor, L: Tensor) -> Tensor:
        return takahashi(L)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0])
        ctx.save_for_forward(inputs[0])

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None]:
        (band,) = ctx.saved_tensors
        twice = _twice(band)
        return twice * _moved(band, gradients[0] / twice), None

    @staticmethod
    def jvp(ctx: Any, band: Tensor, _: None) -> Tensor:
        refuse_nested_forward_mode()
        return _moved(ctx.saved_tensors[0], band)

    vmap = differentiable_under_vmap(inverse_band)


def _moved(band: Tensor, change: Tensor) -> Tensor:
    """-A⁻¹ E A⁻¹ on the band, for the symmetric E with the band `change`."""
    if is_batched(change):
        return each_at_once(lambda change: _moved(band.expand_as(change), change), change)
    moved: Tensor = _Moved.apply(band, change)  # type: ignore[no-untyped-call]
    return moved


class _Moved(torch.autograd.Function):
    @staticmethod
    def forward(band: Tensor, change: Tensor) -> Tensor:
        from banded.factor import cholesky_kernels  # as above

        batch, shape = band.shape[:-2], band.mT.shape
        real, change = band.detach().double(), change.detach().double()
        # of A with a unit diagonal, so that a step that is small beside one pivot is so beside all
        root = real[..., 0, :, None].rsqrt()
        scale = bands.symmetric_outer(root, root, band.shape[-2]) / _twice(real)
        real, change = scale * real, torch.where(scale > 0, scale * change, 0)
        size = change.abs().amax((-2, -1), keepdim=True)
        step = STEP / torch.where(size > 0, size, 1)  # no change, no step
        columns = torch.complex(real, step * change).mT.cpu().contiguous().numpy().reshape(-1, *shape[-2:])
        L, found = np.empty_like(columns), np.empty_like(columns)
        info = np.zeros(len(columns), dtype=np.int64)
        over_batch(cholesky_kernels.factor, columns, L, info)
        over_batch(cholesky_kernels.inverse_band, L, found)
        moved = torch.from_numpy(found.imag).reshape(*batch, *shape[-2:]).mT.to(band.device) / step
        return (scale * moved).to(band.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None]:
        raise NotImplementedError(
            "logdet has first and second derivatives, the band of the inverse a first one; a further one was asked for"
        )

    vmap = differentiable_under_vmap(_moved)
