"""Prometheus metrics: requests by route and status, their seconds, and how far log and projection are."""

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

from memstream.events.errors import MemstreamError
from memstream.services.engine import Engine
from memstream.services.reads import GetProgress

CONTENT_TYPE = CONTENT_TYPE_LATEST
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The metrics of one gateway, in a registry of its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._registry = CollectorRegistry()
        labels = ["route", "status"]
        self._requests = Counter("memstream_http_requests", "HTTP requests", labels, registry=self._registry)
        self._seconds = Histogram(
            "memstream_http_request_seconds",
            "Seconds a request took",
            ["route"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._log_position = Gauge("memstream_log_position", "Last position of the log", registry=self._registry)
        self._log_bytes = Gauge("memstream_log_bytes", "Size of the log", registry=self._registry)
        self._position = Gauge("memstream_projection_position", "Position of the projection", registry=self._registry)
        self._lag = Gauge("memstream_projection_lag", "Events the projection is behind", registry=self._registry)
        self._parked = Gauge("memstream_parked_events", "Events that could not be applied", registry=self._registry)
        self._up = Gauge("memstream_up", "1 when log and projection answer", registry=self._registry)

    def observe(self, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    async def render(self) -> bytes:
        """Return the metrics of this moment in Prometheus' text format."""
        try:
            state = await self._engine.log.state()
            progress = await self._engine.ask(GetProgress())
        except MemstreamError:
            self._up.set(0)
            return generate_latest(self._registry)
        self._up.set(1)
        self._log_position.set(state.last_position)
        self._log_bytes.set(state.bytes)
        self._position.set(progress.position)
        self._lag.set(max(0, state.last_position - progress.position))
        self._parked.set(progress.parked)
        return generate_latest(self._registry)
