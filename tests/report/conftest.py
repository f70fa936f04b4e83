"""A browser for all tests of pages."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    pytest.importorskip("playwright")
    from tests.report.browser import running_browser

    with running_browser() as opened:
        yield opened
