"""Numbers of every type that PyTorch has, with any bits."""

import re

import torch

NO_NUMBERS = re.compile(r"torch\.(q|bits|u?int[1-7]$)")
DTYPES = [
    value for value in vars(torch).values() if isinstance(value, torch.dtype) and not NO_NUMBERS.match(str(value))
]
DTYPES = sorted(set(DTYPES), key=str)


def numbers(dtype, count, seed=0):
    """Random bits as numbers of any type; a bool is 0 or 1."""
    generator = torch.Generator().manual_seed(seed)
    if dtype == torch.bool:
        return torch.randint(0, 2, (count,), generator=generator).bool()
    return torch.randint(0, 256, (count * dtype.itemsize,), generator=generator, dtype=torch.uint8).view(dtype)
