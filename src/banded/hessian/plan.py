"""How to evaluate one function with its derivatives, made once and used often."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from banded.errors import BandwidthError
from banded.hessian.compiled import compile_value
from banded.hessian.drawing import draw_plan
from banded.hessian.engine import Choice
from banded.hessian.extraction import Extraction
from banded.hessian.layout import Layout, Tree
from banded.hessian.products import Value, loop, over_batch, value_of
from banded.hessian.verify import testify
from banded.matrix import Matrix

if TYPE_CHECKING:
    from banded.canvas import Figure


@dataclass(frozen=True, eq=False)
class Plan:
    """How to evaluate one function with its derivatives: made once by `plan`, then called often.

    A plan can be pickled where its function can.

    Attributes:
        f: the function of one problem.
        layout: how the unknowns of the pytree x make up one vector of n.
        extraction: the structure of the Hessian, and how it is read.
        choice: how products are computed, and why so.
        compile: whether they were to be compiled.
        automatic: whether the method was left to the library.
        memory: bytes that a vectorised pass may take, about.
        x: `(*batch, n)`: where the plan was made.
    """

    f: Callable[[Any], Tensor]
    layout: Layout
    extraction: Extraction
    choice: Choice
    compile: bool
    automatic: bool
    memory: int
    x: Tensor
    probes: Tensor

    @property
    def n(self) -> int:
        """Number of unknowns of one problem."""
        return self.layout.n

    @property
    def bandwidth(self) -> int:
        """Half-bandwidth of the Hessian, or of its core."""
        return self.extraction.structure.bandwidth

    @property
    def periodic(self) -> bool:
        """Whether the band wraps round."""
        return self.extraction.structure.periodic

    @property
    def border(self) -> int:
        """p, unknowns that may couple to everything."""
        return self.extraction.structure.border

    @property
    def order(self) -> Tensor | None:
        """`(n,)`: the unknown at each place of the band; None where that is the order of `flatten`."""
        return self.extraction.structure.order

    @property
    def method(self) -> str:
        """The method of recovery."""
        return self.extraction.method

    @property
    def engine(self) -> str:
        """How products are computed: "compiled", "batched", "replicated" or "loop"."""
        return self.choice.name

    @property
    def reason(self) -> str:
        """Why that engine."""
        return self.choice.reason

    @property
    def products(self) -> int:
        """Hessian-vector products that one evaluation makes."""
        return len(self.probes)

    def __call__(self, x: Tree, *, check: bool = False) -> tuple[Tensor, Tree, Matrix]:
        """Value, gradient (a pytree like `x`) and Hessian at `x`, from one graph.

        H is over the unknowns in the order of `flatten`: row-major order for a
        tensor, leaf after leaf for a tree. With batch dimensions, values are
        `(*batch,)` and H is a batch of matrices. Nothing is checked for being finite.

        Args:
            x: the point, like the one that the plan was made for.
            check: hold H against one product more, with a random vector.

        Raises:
            ValueError: if `x` has another structure, shape, dtype or device than the plan was made for.
            BandwidthError: if `check` finds that the Hessian at `x` has other entries than the plan expects.
        """
        vector = self.layout.flatten(x)
        value, gradient, H = self.evaluate(vector)
        if check:
            self.check(vector, H)
        return value, self.layout.unflatten(gradient), H

    def value(self, x: Tree) -> Tensor:
        """f(x) alone, without a graph."""
        return self.value_at(self.layout.flatten(x))

    def value_at(self, vector: Tensor) -> Tensor:
        """f alone, at a point that is a vector `(*batch, n)` already."""
        return self.choice.value(vector)

    def evaluate(self, vector: Tensor) -> tuple[Tensor, Tensor, Matrix]:
        """Value, gradient and Hessian at a point that is a vector `(*batch, n)` already."""
        if torch.compiler.is_compiling():
            torch._dynamo.graph_break()
        value, gradient, products = self.choice.run(vector, self.probes)
        H = self.extraction.recover(products)
        again = self.extraction.rescaled(H)
        if again is not None:
            H = again.recover(self.choice.run(vector, again.probes(vector))[2])
        return value, gradient, H

    def evaluator(self, function: Callable[[Any], Value]) -> Callable[[Tensor], Value]:
        """Another function of one pytree like x, for vectors, computed as f is: without a graph, compiled where f is."""

        def flat(vector: Tensor) -> Value:
            return function(self.layout.unflatten(vector))

        return value_of(compile_value(flat) if self.engine == "compiled" else flat)

    def compressed(self, x: Tree) -> Tensor:
        """`(*batch, products, n)`: the Hessian at `x` times each probe, from which `recover` makes the matrix."""
        return self.choice.run(self.layout.flatten(x), self.probes)[2]

    def recover(self, products: Tensor) -> Matrix:
        """The matrix, from what `compressed` gives.

        Raises:
            ValueError: if `products` has another shape.
        """
        if products.shape[-2:] != self.probes.shape:
            raise ValueError(
                f"products: expected shape (..., {self.products}, {self.n}), as compressed(x) gives, "
                f"got {tuple(products.shape)}"
            )
        return self.extraction.recover(products)

    def flatten(self, x: Tree) -> Tensor:
        """The vector `(*batch, n)` of a pytree like the one that the plan was made for."""
        return self.layout.flatten(x)

    def unflatten(self, vector: Tensor) -> Tree:
        """The pytree of a vector `(..., n)`."""
        return self.layout.unflatten(vector)

    def check(self, vector: Tensor, H: Matrix) -> None:
        """Hold H at a point against one product of the plainest engine.

        Raises:
            BandwidthError: if H does not explain it.
        """
        plain = loop(over_batch(self.flat_f, vector.ndim - 1, vectorised=False))
        generator = torch.Generator().manual_seed(5)
        witness = testify(lambda point, probes: plain(point, probes)[2], vector, generator)
        leak = witness.leak(H)
        if leak:
            raise BandwidthError(
                f"expected entries where the plan has them ({self.extraction.structure}), found a leak of {leak:.3g}; "
                "f couples other unknowns here than where the plan was made; make another plan at this point, or "
                "pass a bandwidth that holds everywhere",
                leak=leak,
                bandwidth=self.bandwidth,
                needed=None,
            )

    def flat_f(self, vector: Tensor) -> Tensor:
        """f of one problem, of a vector `(n,)`."""
        return self.f(self.layout.unflatten(vector))

    def plot(self) -> Figure:
        """Draw the pattern with its colours, the probes and how many entries each product shows."""
        return draw_plan(self.extraction, self.probes)

    def __str__(self) -> str:
        method = f"{self.method}: {self.extraction.reason}" if self.extraction.reason else self.method
        batch = f" in each of {self.layout.batch.numel()} problems" if self.layout.batch else ""
        return (
            f"Plan for {self.n} unknowns{batch}, {self.extraction.structure}: {self.products} products "
            f"({method}), {self.engine} ({self.reason})"
        )

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))  # what notebooks show

    def __repr__(self) -> str:
        return f"<{self}>"
