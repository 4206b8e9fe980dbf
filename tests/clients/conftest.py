"""A tenant for each test, or one for a whole table of them."""

import os

import pytest
from support import BINARY, Sandbox, World


def pytest_configure(config):
    if not os.access(BINARY, os.X_OK):
        pytest.exit(f"{BINARY} is missing: build it first (cargo build --locked)", returncode=2)


@pytest.fixture
def world(tmp_path):
    """A tenant of 60 users and an empty state directory."""
    with Sandbox(tmp_path) as sandbox:
        yield World(tmp_path, sandbox)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A tenant and an HTTP server that all rows of a module share; the rows change nothing."""
    place = tmp_path_factory.mktemp("table")
    with Sandbox(place) as sandbox:
        world = World(place, sandbox)
        with world.http() as server:
            world.url = server.url
            yield world
