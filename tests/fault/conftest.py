"""One daemon per module, with bystanders, and a desk per test whose invariants are checked in the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon_fixture import Daemon, Desk, desk_of


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Daemon(tmp_path_factory.mktemp("daemon") / "run") as daemon:
        daemon.bystanders()
        yield daemon


@pytest.fixture
def desk(daemon: Daemon) -> Iterator[Desk]:
    with desk_of(daemon) as desk:
        yield desk


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon for one test that harms it."""
    with Daemon(tmp_path / "run") as daemon:
        daemon.bystanders()
        yield daemon
