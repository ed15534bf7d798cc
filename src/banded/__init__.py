"""Exact banded Hessians of PyTorch functions, and Newton's method on them.

`minimize` finds a minimum, `hessian` a Hessian, `plan` how to evaluate it often;
`SymmetricBanded` is the matrix, `Problem` what the command `banded solve` takes.
"""

from importlib.metadata import version

from banded.errors import (
    BandedError,
    BandwidthError,
    FileFormatError,
    NonFiniteError,
    NotPositiveDefiniteError,
    RecoveryError,
)
from banded.hessian import Plan, hessian, plan
from banded.matrix import SymmetricBanded
from banded.optimize import Record, Result, Status, minimize
from banded.problems import Problem

__version__ = version("banded")

__all__ = [
    "BandedError",
    "BandwidthError",
    "FileFormatError",
    "NonFiniteError",
    "NotPositiveDefiniteError",
    "Plan",
    "Problem",
    "Record",
    "RecoveryError",
    "Result",
    "Status",
    "SymmetricBanded",
    "hessian",
    "minimize",
    "plan",
]
