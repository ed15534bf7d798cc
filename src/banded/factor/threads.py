"""A batch shared out among as many threads as PyTorch uses."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch

CELLS = 50_000  # of arrays, for each thread, below which another thread does not pay


@lru_cache(1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=os.cpu_count(), thread_name_prefix="banded")


os.register_at_fork(after_in_child=_pool.cache_clear)


def over_batch(kernel: Callable[..., None], *arrays: np.ndarray) -> None:
    """Call a kernel that releases the GIL, on parts of the first axis of all arrays at once where that pays."""
    size = len(arrays[0])
    parts = min(torch.get_num_threads(), size, arrays[0].size // CELLS)
    if parts < 2:
        kernel(*arrays)
        return
    cuts = [size * part // parts for part in range(parts + 1)]
    rest = [_pool().submit(kernel, *(array[start:end] for array in arrays)) for start, end in pairwise(cuts[1:])]
    kernel(*(array[: cuts[1]] for array in arrays))
    for one in rest:
        one.result()
