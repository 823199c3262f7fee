"""What records errors, spans, metrics and logs: with the local variables of all frames."""

from __future__ import annotations

import io
import json
import logging
import sys
from pathlib import Path

import pytest
import requests

from .failures import failures, no_token_after_a_401


def spans_of(exporter) -> list[dict]:
    return [json.loads(span.to_json()) for span in exporter.get_finished_spans()]


@pytest.fixture
def tracing():
    """A tracer provider, and what it has exported."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider, exporter


@pytest.mark.package("opentelemetry-instrumentation-requests", "opentelemetry-sdk")
def test_opentelemetry_around_requests(story, tracing):
    from opentelemetry.instrumentation.requests import RequestsInstrumentor

    provider, exporter = tracing
    instrumentor = RequestsInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    try:
        with story.session() as session:
            story.tell(session.get)
        with provider.get_tracer("test").start_as_current_span("outer") as outer:
            # After a 401, a frame of its own holds the headers of that call.
            failures(
                story,
                lambda: outer.record_exception(sys.exc_info()[1]),
                but=no_token_after_a_401,
            )
    finally:
        instrumentor.uninstrument()
    spans = spans_of(exporter)
    story.search_all("the spans", spans)
    urls = [span["attributes"].get("http.url", "") for span in spans]
    assert sum(url.endswith("/token") for url in urls) >= 3
    assert sum("/api/" in url for url in urls) >= 4


@pytest.mark.package("opentelemetry-instrumentation-urllib3", "opentelemetry-sdk")
def test_opentelemetry_around_urllib3(story, tracing):
    from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor

    provider, exporter = tracing
    instrumentor = URLLib3Instrumentor()
    instrumentor.instrument(tracer_provider=provider)
    try:
        with requests.Session() as session:
            session.auth = story.auth()
            story.tell(session.get)
        failures(story, lambda: None)
    finally:
        instrumentor.uninstrument()
    spans = spans_of(exporter)
    story.search_all("the spans", spans)
    # Here the call that was sent again has a span of its own.
    assert sum("/api/" in span["attributes"].get("http.url", "") for span in spans) >= 5


@pytest.mark.package("structlog")
def test_structlog(story):
    import structlog
    from structlog.tracebacks import ExceptionDictTransformer

    written = io.StringIO()
    renderer = structlog.processors.JSONRenderer()
    with_locals = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=True))
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_log_level, structlog.stdlib.ExtraAdder()],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
    handler = logging.StreamHandler(written)
    handler.setFormatter(formatter)
    logging.getLogger().addHandler(handler)
    structlog.configure(
        processors=[with_locals, renderer], logger_factory=structlog.PrintLoggerFactory(written)
    )
    try:
        with story.session() as session:
            story.tell(session.get)
        failures(story, lambda: structlog.get_logger().exception("failed"))
    finally:
        logging.getLogger().removeHandler(handler)
        structlog.reset_defaults()
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    story.search("the log", written.getvalue())
    assert any(line["event"].startswith("got token ") for line in lines)
    frames = [f for line in lines for e in line.get("exception", ()) for f in e["frames"]]
    assert any(frame["locals"] for frame in frames)


@pytest.mark.package("loguru")
def test_loguru(story):
    from loguru import logger

    class Intercept(logging.Handler):
        """As loguru's documentation has it."""

        def emit(self, record: logging.LogRecord) -> None:
            logger.opt(exception=record.exc_info).log(record.levelname, record.getMessage())

    handler = Intercept()
    number = logger.add("written.log", level="DEBUG", backtrace=True, diagnose=True)
    logging.getLogger().addHandler(handler)
    try:
        with story.session() as session:
            story.tell(session.get)
        failures(story, lambda: logger.exception("failed"))
    finally:
        logging.getLogger().removeHandler(handler)
        logger.remove(number)
    written = Path("written.log").read_text("utf-8")
    story.search("the log", written)
    assert "got token" in written
    assert "└ " in written  # which shows the values of variables


@pytest.mark.package("rich")
def test_rich(story):
    from rich.console import Console
    from rich.logging import RichHandler
    from rich.traceback import Traceback

    written = io.StringIO()
    console = Console(file=written, width=400)
    handler = RichHandler(console=console, rich_tracebacks=True, tracebacks_show_locals=True)
    logging.getLogger().addHandler(handler)
    try:
        with story.session() as session:
            story.tell(session.get)
        failures(story, lambda: logging.getLogger("of the test").exception("failed"))
        failures(story, lambda: console.print(Traceback(show_locals=True, locals_max_string=None)))
    finally:
        logging.getLogger().removeHandler(handler)
    story.search("the log", written.getvalue())
    assert "locals" in written.getvalue()


@pytest.mark.package("prometheus-client")
def test_prometheus_client(story):
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.core import CounterMetricFamily

    class Collector:
        def collect(self):
            counters = auth.manager.stats()
            yield CounterMetricFamily("tokens", "Token requests", value=counters.obtained)

    registry = CollectorRegistry()
    auth = story.auth()
    registry.register(Collector())
    story.tell(lambda url: requests.get(url, auth=auth))
    written = generate_latest(registry).decode()
    story.search("the metrics", written)
    assert "tokens_total 3.0" in written


@pytest.mark.package("rollbar")
def test_rollbar(alone):
    alone("with_rollbar.py")


@pytest.mark.package("sentry-sdk")
def test_sentry(alone):
    alone("with_sentry.py")


@pytest.mark.package("elastic-apm")
def test_elastic_apm(alone):
    alone("with_elastic_apm.py")
