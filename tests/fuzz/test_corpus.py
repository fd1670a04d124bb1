"""Every input that fuzzing kept, and every wire vector as an input, without a fuzzer."""

from __future__ import annotations

import pytest

from tests.fuzz.seeds import from_vectors, kept
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("target", TARGETS)
def test_what_has_to_hold_holds_for_the_corpus(target: str):
    inputs = {*from_vectors(target), *kept(target)}
    assert len(kept(target)) > 100
    for data in inputs:
        TARGETS[target](data)
