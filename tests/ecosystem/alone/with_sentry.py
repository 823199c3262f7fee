"""Sentry with all it can be told to record: local variables, request bodies, personal data."""

from __future__ import annotations

import json

from ..failures import failures


def test_sentry(story):
    import sentry_sdk
    from sentry_sdk.integrations.logging import LoggingIntegration
    from sentry_sdk.transport import Transport

    class Envelopes(Transport):
        def __init__(self, options=None) -> None:
            super().__init__(options)
            self.texts: list[str] = []

        def capture_envelope(self, envelope) -> None:
            self.texts.append(envelope.serialize().decode())

    envelopes = Envelopes()
    sentry_sdk.init(
        dsn="http://public@127.0.0.1/1",
        transport=envelopes,
        include_local_variables=True,
        include_source_context=False,
        max_request_body_size="always",
        send_default_pii=True,
        traces_sample_rate=1.0,
        integrations=[LoggingIntegration(level=0, event_level="INFO")],
    )
    with sentry_sdk.start_transaction(name="the story"), story.session() as session:
        story.tell(session.get)
    failures(story, sentry_sdk.capture_exception)
    sentry_sdk.flush()
    for text in envelopes.texts:
        story.search("an envelope", text)
    everything = "\n".join(envelopes.texts)
    assert '"vars":' in everything
    # The token request has a breadcrumb and a span, as each call has.
    assert f"POST {story.server.token_endpoint}" in everything
    errors = [json.loads(line) for line in everything.splitlines() if '"exception":' in line]
    assert len(errors) >= 4
