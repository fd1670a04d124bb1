"""Texts of the v3 API: memory and load."""

from __future__ import annotations

UNITS = ((1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K"))


def memory_text(size: int) -> str | int:
    """`77.45M`; up to 1 KiB the plain number."""
    for unit, letter in UNITS:
        if size > unit:
            return f"{size / unit:.2f}{letter}"
    return size
