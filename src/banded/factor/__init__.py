"""Factorisations: one file a method, plain tensors in and out."""

from banded.factor.bordered import BorderedCholesky as BorderedCholesky
from banded.factor.bordered import mirrored as mirrored
from banded.factor.cholesky import Cholesky as Cholesky
from banded.factor.protocol import Factor as Factor
