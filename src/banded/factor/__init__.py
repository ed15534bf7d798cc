"""Factorisations: one file a method, plain tensors in and out."""

from banded.factor.bordered import BorderedCholesky as BorderedCholesky
from banded.factor.bordered import BorderedLDL as BorderedLDL
from banded.factor.bordered import mirrored as mirrored
from banded.factor.cholesky import Cholesky as Cholesky
from banded.factor.cholesky import solve_each as solve_each
from banded.factor.cyclic import BlockCholesky as BlockCholesky
from banded.factor.ldl import LDL as LDL
from banded.factor.lu import LU as LU
from banded.factor.protocol import Factor as Factor
from banded.factor.protocol import IndefiniteFactor as IndefiniteFactor
from banded.factor.protocol import Inertia as Inertia
from banded.factor.protocol import Solver as Solver
from banded.factor.refinement import Refined as Refined
from banded.factor.refinement import refine as refine
