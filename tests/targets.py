"""A point that unknowns are drawn to, for tests of what holds them back."""

import torch
from torch import Tensor

WANTED = torch.tensor([1.0, 2, 3, 4], dtype=torch.float64)
ZERO = torch.zeros(4, dtype=torch.float64)


def point(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def distance(x: Tensor) -> Tensor:
    return (x - WANTED.to(x)).square().sum()
