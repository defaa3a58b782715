"""Random numbers that depend on nothing but a seed and what they are for."""

from __future__ import annotations

import zlib

import numpy as np

__all__ = ["generator", "unit"]


def generator(seed: int, name: str, number: int, purpose: str) -> np.random.Generator:
    """A generator of its own for this name, number and purpose: whatever was asked before."""
    return np.random.default_rng([seed & 0xFFFFFFFF, _crc(name), number, _crc(purpose)])


def unit(seed: int, name: str, number: int = 0) -> float:
    """One number in [0, 1)."""
    return _crc(f"{seed}/{name}/{number}") / 2**32


def _crc(text: str) -> int:
    return zlib.crc32(text.encode())
