"""Allocation: pools, arenas, hash tables."""
