"""Hessians of PyTorch functions as bands: structure, probes, products, recovery, and the plan that joins them."""

from banded.hessian.lagrangian import LagrangianPlan as LagrangianPlan
from banded.hessian.layout import Layout as Layout
from banded.hessian.layout import Tree as Tree
from banded.hessian.layout import layout as layout
from banded.hessian.plan import Plan as Plan
from banded.hessian.planning import hessian as hessian
from banded.hessian.planning import plan as plan
from banded.hessian.report import Report as Report
from banded.hessian.report import verify as verify
