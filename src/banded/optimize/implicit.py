"""Derivatives of a minimum with respect to what the function depends on besides the unknowns."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from banded.hessian import Plan
from banded.hessian.products import over_batch
from banded.matrix import Symmetric
from banded.optimize.result import Status

MARGIN = 10  # eps √n times the size of its row, by which H must be positive definite to have an inverse worth the name


def attach(plan: Plan, x: Tensor, H: Symmetric, status: tuple[Status, ...]) -> tuple[Tensor, int]:
    """The minimum `x` `(n,)` or `(B, n)`, with the derivatives that the implicit function theorem gives it.

    Where ∇f(x, θ) = 0 and H is positive definite, dx = -H⁻¹ d(∇f) (Nocedal & Wright 2006, theorem A.2). Whatever θ f
    closes over is found by autograd; where nothing there requires a gradient, x is returned as it is.

    Args:
        plan: of f.
        x: the minimum.
        H: the Hessian there.
        status: of each problem: only minima have derivatives.

    Returns:
        The minimum, and how many evaluations that took.
    """
    f = over_batch(plan.of_vector, x.ndim - 1, vectorised=plan.choice.vectorised)
    value = f(x.clone())
    if forward_ad._current_level >= 0 and forward_ad.unpack_dual(value).tangent is not None:  # type: ignore[no-untyped-call]
        raise NotImplementedError(
            "f: expected no dual tensors, got one; result.x has derivatives in reverse mode, not in forward mode"
        )
    if not value.requires_grad:
        return x, 1
    if plan.residuals:
        plan = plan.exact()  # the theorem is about the Hessian itself
        H = plan.evaluate(x)[2]
        plan.check(x, H)
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(f(leaf).sum(), leaf, create_graph=True)
    found: Tensor = _Minimum.apply(x, gradient, H, status)  # type: ignore[no-untyped-call]
    return found, 2


class _Minimum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gradient: Tensor, H: Symmetric, status: tuple[Status, ...]) -> Tensor:
        ctx.H, ctx.status = H, status
        ctx.save_for_backward(gradient)
        return x.clone()

    @staticmethod
    def backward(ctx: Any, of_x: Tensor) -> tuple[None, Tensor, None, None]:
        H, status = ctx.H, ctx.status
        asked = of_x.detach().contiguous().reshape(len(status), -1)
        wanted = (asked != 0).any(1).tolist()
        for number, one in enumerate(status):
            if wanted[number] and not one.success:
                raise ValueError(
                    f"{_which(number, status)}: expected a minimum to differentiate, got {one.name}: {one.value}"
                )
        batch = H if H.batch_shape else H.with_tensors(tuple(one[None] for one in H.tensors))
        margin = MARGIN * torch.finfo(H.dtype).eps * H.shape[-1] ** 0.5 * batch.row_sums()
        _, strict = batch.add_diagonal(-margin).solve_where_definite(asked)
        for number, one in enumerate(strict.tolist()):
            if wanted[number] and not one:
                raise ValueError(
                    f"{_which(number, status)}: expected a strict minimum to differentiate, got one where f does not "
                    "curve in some direction (H is singular): x can move there at no cost, so it has no derivative; "
                    "add a small term that decides, such as 1e-6 x.square().sum()"
                )
        w = -batch.solve_where_definite(asked)[0].reshape(of_x.shape)
        if not all(wanted) and w.ndim > 1:  # of these, nothing is known
            w[~torch.tensor(wanted, device=w.device)] = 0
        if torch.is_grad_enabled():  # a graph of this pass is wanted, in which H would depend on θ
            w = _Once.apply(w, *ctx.saved_tensors)  # type: ignore[no-untyped-call]
        return None, w, None, None


class _Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, w: Tensor, gradient: Tensor) -> Tensor:
        return w.clone()

    @staticmethod
    def backward(ctx: Any, of_w: Tensor) -> tuple[None, None]:
        raise NotImplementedError(
            "result.x: expected one derivative, got a derivative of that, which would take third derivatives of f; "
            "finite differences of the first one are a way out"
        )


def _which(number: int, status: tuple[Status, ...]) -> str:
    return "result.x" if len(status) == 1 else f"result.x[{number}]"
