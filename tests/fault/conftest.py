"""Real processes, killed for real."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from processes import Service


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Service]]:
    """Start services on one data directory; all are killed in the end."""
    services: list[Service] = []

    def one() -> Service:
        services.append(Service(tmp_path / "data"))
        return services[-1]

    yield one
    for service in services:
        if service.process.poll() is None:
            service.kill()
