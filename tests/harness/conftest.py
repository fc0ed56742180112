"""Invented items in a temporary folder."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A data folder of invented items."""
    from planted import write_items

    return write_items(tmp_path_factory.mktemp("data"))
