"""Elastic APM with the local variables of all frames, sent to a server of the test's own."""

from __future__ import annotations

import zlib

from ..failures import failures
from ..story import Server


def test_elastic_apm(story):
    import elasticapm

    with Server() as collector:
        client = elasticapm.Client(
            service_name="test",
            server_url=collector.api_url,
            collect_local_variables="all",
            capture_body="all",
            cloud_provider="none",
            central_config=False,
            metrics_interval="0s",
            transaction_sample_rate=1.0,
        )
        elasticapm.instrument()
        client.begin_transaction("test")
        with story.session() as session:
            story.tell(session.get)
        failures(story, client.capture_exception)
        client.end_transaction("the story", "success")
        client.close()
    sent = [r.body for r in collector.api_requests if r.body]
    texts = [zlib.decompress(body, zlib.MAX_WBITS | 16).decode() for body in sent]
    for text in texts:
        story.search("what was sent", text)
    everything = "\n".join(texts)
    assert everything.count('{"error":') >= 4
    assert '"vars":' in everything
    assert story.server.token_endpoint.removeprefix("http://") in everything
