"""Factorisations of bands: one file a method, plain tensors in and out."""

from banded.factor.cholesky import Cholesky as Cholesky
from banded.factor.cholesky import check_operand as check_operand
