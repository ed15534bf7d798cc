"""Hessians of PyTorch functions as bands: probes, products, recovery, and the plan that joins them."""

from banded.hessian.plan import Plan as Plan
from banded.hessian.plan import hessian as hessian
from banded.hessian.plan import plan as plan
from banded.hessian.products import value_of as value_of
