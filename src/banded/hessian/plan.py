"""How to evaluate one function with its derivatives, made once and used often."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from banded.compiling import outside_graphs
from banded.errors import BandwidthError
from banded.hessian.compiled import compile_value
from banded.hessian.data import AnyFunction, SumOfSquares, data_of, of_vector
from banded.hessian.drawing import draw_plan
from banded.hessian.engine import Choice, choose
from banded.hessian.extraction import AGREEMENT, Extraction
from banded.hessian.layout import Layout, Tree, flat
from banded.hessian.products import Value, loop, over_batch, value_of
from banded.hessian.verify import testify
from banded.matrix import Symmetric

if TYPE_CHECKING:
    from banded.canvas import Figure


@dataclass(frozen=True, eq=False)
class Plan:
    """How to evaluate one function with its derivatives: made once by `plan`, then called often.

    A plan can be pickled where its function can.

    Attributes:
        f: the function of one problem.
        layout: how the unknowns of the pytree x make up one vector of n.
        residuals: whether f returns residuals, and the matrix is JᵀJ.
        of_vector: f, or half the sum of squares of its residuals, as a function of that vector, with its data.
        extraction: the structure of the Hessian, and how it is read.
        choice: how products are computed, and why so.
        compile: whether they were to be compiled.
        automatic: whether the method was left to the library.
        memory: bytes that a vectorised pass may take, about.
        x: `(*batch, n)`: where the plan was made.
    """

    f: Callable[..., Tensor]
    layout: Layout
    residuals: bool
    of_vector: AnyFunction
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

    def __call__(self, x: Tree, *, check: bool = False) -> tuple[Tensor, Tree, Symmetric]:
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
        """The value f(x) alone, without a graph."""
        return self.value_at(self.layout.flatten(x))

    def value_at(self, vector: Tensor) -> Tensor:
        """The value alone, at a point that is a vector `(*batch, n)` already."""
        return self.choice.value(vector)

    @outside_graphs
    def evaluate(self, vector: Tensor) -> tuple[Tensor, Tensor, Symmetric]:
        """Value, gradient and Hessian at a point that is a vector `(*batch, n)` already."""
        value, gradient, products = self.choice.run(vector, self.probes)
        H = self.extraction.recover(products)
        again = self.extraction.rescaled(H)
        if again is not None:
            products = self.choice.run(vector, again.probes(vector))[2]
            H = again.recover(products)
            if again.disagreement(products, H) > AGREEMENT:
                again = again.directly()
                H = again.recover(self.choice.run(vector, again.probes(vector))[2])
        return value, gradient, H

    def evaluator(self, function: Callable[[Any], Value]) -> Callable[[Tensor], Value]:
        """Evaluate another function of one pytree as f is: of vectors, without a graph, compiled where f is."""
        of_one = flat(function, self.layout)
        return value_of(compile_value(of_one) if self.engine == "compiled" else of_one)

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        state["choice"] = None  # of closures, made anew
        if data_of(self.of_vector) is None:
            state["of_vector"] = None
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self.of_vector is None:
            self.__dict__["of_vector"] = of_vector(self.f, self.layout, (), self.residuals)
        self.__dict__["choice"] = choose(self.of_vector, self.x, self.probes, self.memory, self.compile)

    def compressed(self, x: Tree) -> Tensor:
        """`(*batch, products, n)`: the Hessian at `x` times each probe, from which `recover` makes the matrix."""
        return self.choice.run(self.layout.flatten(x), self.probes)[2]

    def recover(self, products: Tensor) -> Symmetric:
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

    def gap(self, vector: Tensor) -> float | None:
        """How far redundant equations of the recovery disagree at a point, relative to sqrt(|H_ii H_jj|), or None."""
        read, products = self.extraction, self.choice.run(vector, self.probes)[2]
        return read.gap(products, read.recover(products))

    def flatten(self, x: Tree) -> Tensor:
        """The vector `(*batch, n)` of a pytree like the one that the plan was made for."""
        return self.layout.flatten(x)

    def unflatten(self, vector: Tensor) -> Tree:
        """The pytree of a vector `(..., n)`."""
        return self.layout.unflatten(vector)

    def leak(self, vector: Tensor, H: Symmetric) -> float:
        """Largest entry of a random product of the plainest engine that H at a point does not explain, or 0."""
        return float(self.leaks(vector, H).max())

    def leaks(self, vector: Tensor, H: Symmetric) -> Tensor:
        """`(*batch,)`: the same for each problem."""
        plain = loop(over_batch(self.of_vector, vector.ndim - 1, vectorised=self.choice.vectorised))
        generator = torch.Generator().manual_seed(5)
        return testify(lambda point, probes: plain(point, probes)[2], vector, generator).leaks(H)

    def exact(self) -> Plan:
        """The plan for the Hessian itself, where this one is for JᵀJ: in both, one residual couples its unknowns."""
        assert isinstance(self.of_vector, SumOfSquares)
        value = self.of_vector.plain()
        return replace(
            self,
            residuals=False,
            of_vector=value,
            choice=choose(value, self.x, self.probes, self.memory, compile=False),
        )

    def select(self, rows: Tensor | None) -> None:
        """Evaluate the problems of a batch with these numbers only, `(A, n)`, from now on; all if None."""
        data = data_of(self.of_vector)
        if data is not None:
            data.select(rows)

    def check(self, vector: Tensor, H: Symmetric) -> None:
        """Hold H at a point against one product of the plainest engine.

        Raises:
            BandwidthError: if H does not explain it.
        """
        leak = self.leak(vector, H)
        if leak:
            raise BandwidthError(
                f"expected entries where the plan has them ({self.extraction.structure}), found a leak of {leak:.3g}; "
                "f couples other unknowns here than where the plan was made; make another plan at this point, or "
                "pass a bandwidth that holds everywhere",
                leak=leak,
                bandwidth=self.bandwidth,
                needed=None,
            )

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
