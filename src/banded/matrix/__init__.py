"""The matrix types: storage drawn once, algebra on it."""

from banded.matrix.banded import Banded as Banded
from banded.matrix.base import Matrix as Matrix
from banded.matrix.block_tridiagonal import BlockTridiagonal as BlockTridiagonal
from banded.matrix.bordered import Bordered as Bordered
from banded.matrix.periodic import Periodic as Periodic
from banded.matrix.reordered import Reordered as Reordered
from banded.matrix.symmetric import Symmetric as Symmetric
from banded.matrix.symmetric_banded import SymmetricBanded as SymmetricBanded
from banded.matrix.trees import register

register(Banded, BlockTridiagonal, Bordered, Periodic, Reordered, SymmetricBanded)
