"""Exact banded Hessians of PyTorch functions, and Newton's method on them."""

from banded.errors import BandedError as BandedError
from banded.errors import BandwidthError as BandwidthError
from banded.errors import FileFormatError as FileFormatError
from banded.errors import NonFiniteError as NonFiniteError
from banded.errors import NotPositiveDefiniteError as NotPositiveDefiniteError
from banded.errors import RecoveryError as RecoveryError
from banded.hessian import Plan as Plan
from banded.hessian import hessian as hessian
from banded.hessian import plan as plan
from banded.matrix import SymmetricBanded as SymmetricBanded
from banded.optimize import Result as Result
from banded.optimize import Status as Status
from banded.optimize import minimize as minimize
from banded.problems import Problem as Problem
