"""The exceptions: each says what was expected, what came and what to do next."""

from functools import partial
from typing import Any

import torch


class BandedError(Exception):
    """Base of every error that is `banded`'s own."""


class BandwidthError(BandedError, ValueError):
    """The Hessian has entries outside the band that was given, or no band at all.

    Attributes:
        leak: largest entry of (H - band) v for a random v of unit variance, in
            the units of H.
        bandwidth: the half-bandwidth that was tried.
        needed: the smallest half-bandwidth that holds H, or None where none up
            to the limit of the search does.
    """

    def __init__(self, message: str, *, leak: float, bandwidth: int, needed: int | None) -> None:
        super().__init__(message)
        self._message = message
        self.leak = leak
        self.bandwidth = bandwidth
        self.needed = needed

    def __reduce__(self) -> tuple[Any, ...]:  # keyword arguments do not reach the copy by themselves
        return partial(type(self), leak=self.leak, bandwidth=self.bandwidth, needed=self.needed), (self._message,)


class RecoveryError(BandedError, ArithmeticError):
    """The band is wide enough, but rounding spoilt the entries recovered from the products."""


class _FactorizationError(BandedError, torch.linalg.LinAlgError):  # type: ignore[name-defined, misc]  # stubs lack it
    """A factorisation broke down at a row."""

    def __init__(self, message: str, *, row: int, number: int = 0) -> None:
        super().__init__(message)
        self._message = message
        self.row, self.number = row, number

    def __reduce__(self) -> tuple[Any, ...]:  # as above
        return partial(type(self), row=self.row, number=self.number), (self._message,)


class NotPositiveDefiniteError(_FactorizationError):
    """A Cholesky factorisation broke down.

    Attributes:
        row: the first row (from 0) whose leading principal minor is not positive.
        number: of the matrix in its batch, counted row by row from 0.
    """


class SingularError(_FactorizationError):
    """A matrix has no inverse.

    Attributes:
        row: the row (from 0) whose pivot is zero.
        number: of the matrix in its batch, counted row by row from 0.
    """


class NonFiniteError(BandedError, ValueError):
    """A value or derivative of the user's function is NaN or infinite."""


class FileFormatError(BandedError, ValueError):
    """A file does not hold what it should."""
