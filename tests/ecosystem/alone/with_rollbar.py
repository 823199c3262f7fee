"""Rollbar with the local variables of all frames, sent to a server of the test's own."""

from __future__ import annotations

from ..failures import failures
from ..story import Server


def test_rollbar(story):
    import rollbar

    with story.session() as session:
        story.tell(session.get)
    with Server() as collector:
        rollbar.init(
            "an-access-token",
            "test",
            handler="blocking",
            endpoint=f"{collector.api_url}/",
            allow_logging_basic_config=False,
            locals={"enabled": True, "safe_repr": False},
        )
        failures(story, rollbar.report_exc_info)
    bodies = [request.body.decode() for request in collector.api_requests]
    assert len(bodies) == 4
    for body in bodies:
        story.search("a report", body)
        assert '"locals":' in body
