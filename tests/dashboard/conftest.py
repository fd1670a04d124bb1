"""A broker and a browser for each file of tests, and a look at every page after each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.dashboard.browser import Browsing, browsing


@pytest.fixture(scope="module")
def shared_browsing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browsing]:
    with browsing(tmp_path_factory.mktemp("browsing")) as made:
        yield made


@pytest.fixture
def at(shared_browsing: Browsing) -> Iterator[Browsing]:
    """`at.logged_in("operator", "clients")` is a page; what went wrong in a page fails its test."""
    yield shared_browsing
    shared_browsing.close_pages()
