"""Log records and counters: those that OPERATIONS.md lists, with their fields."""

from __future__ import annotations

import logging
import re
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import redis
import requests
from events import DOWN, SECTION, manager_and_fetch
from fetches import Fetch, failures, settle
from helpers import PATIENCE, Crowd, texts_in, token_answer, until
from redis_server import ONCE, RedisServer, free_port, needs_redis_server
from test_discovery import RFC_8414, Site, fail
from test_exceptions import ANSWERS, FORBIDDEN, SECRET, TOKEN, UNASKED, leaks
from test_stores import Shelf

from clientcreds_requests import (
    ClientCredentialsAuth,
    ClientSecretPost,
    Token,
    TokenEndpoint,
    TokenError,
    TokenManager,
    TokenRequest,
)
from clientcreds_requests._logs import EVENTS, PREFIX
from clientcreds_requests.redis import RedisTokenStore
from clientcreds_requests.testing import RESET, Answer
from clientcreds_requests.tokens import TokenStats

READS = TokenRequest(scope="read")


def table(heading):
    """The cells of each row of a table of the section, by the first of them."""
    rows = SECTION.partition(f"| {heading} |")[2].partition("\n\n")[0].splitlines()[2:]
    return {
        cells[0].strip("`"): cells[1:]
        for cells in ([cell.strip() for cell in row.strip("| ").split(" |")] for row in rows)
    }


LISTED = {
    name: SimpleNamespace(
        level=cells[0].split(",")[0], fields=set(re.findall(r"`(\w+)`", "".join(cells[2:])))
    )
    for name, cells in table("event").items()
}


def fields_of(record):
    """The fields of the package's own, without their prefix."""
    return {
        name.removeprefix(PREFIX): value
        for name, value in vars(record).items()
        if name.startswith(PREFIX)
    }


class Records(logging.Handler):
    """Keeps the package's log records, at every level."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.all.append(record)

    def told(self, event):
        """The fields of every record of an event."""
        said = [fields_of(record) for record in self.all]
        return [fields for fields in said if fields.pop("event") == event]

    def leaks(self, *more):
        texts = [text for r in self.all for text in (r.getMessage(), *texts_in(vars(r)))]
        return leaks(texts) + [text for text in texts for secret in more if secret in text]


@pytest.fixture
def records():
    """The records from now on."""
    logger, kept = logging.getLogger("clientcreds_requests"), Records()
    level = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(kept)
    yield kept
    logger.removeHandler(kept)
    logger.setLevel(level)


# --- The events -----------------------------------------------------------------------------

# For each event what makes it happen, with a value for each of its fields; returns those.
HAPPENINGS = {}


def happening(function):
    HAPPENINGS[function.__name__] = function
    return function


@happening
def token_obtained(server, clock):
    endpoint = endpoint_of(server)
    server.answer_next(lambda _: clock.advance(1.5))
    token = endpoint(READS)
    return {**asked(server, 1.5), "fingerprint": token.fingerprint}


@happening
def token_request_failed(server, clock):
    endpoint = endpoint_of(server)

    def refuse(_):
        clock.advance(0.5)
        return Answer(401, {"error": "invalid_client", "error_description": "no such client"})

    server.answer_next(refuse)
    with pytest.raises(TokenError) as caught:
        endpoint(READS)
    told = {"reason": str(caught.value), "error": "invalid_client", "status": 401}
    return {**asked(server, 0.5), **told}


def endpoint_of(server):
    url = f"{server.token_endpoint}?key=in-the-query"
    auth = ClientSecretPost(server.client_secret)
    return TokenEndpoint(url, server.client_id, auth, body="form", retries=0)


def asked(server, took):
    who = {"endpoint": server.token_endpoint, "client_id": server.client_id, "scope": "read"}
    return {**who, "seconds": took}


@happening
def attempt_failed(server, clock):
    server.answer_next(Answer(503))
    auth = ClientCredentialsAuth(
        f"{server.token_endpoint}?key=in-the-query", server.client_id, server.client_secret
    )
    auth.authorize()
    return {"endpoint": server.token_endpoint, "attempt": 1, "reason": "status 503"}


@happening
def json_not_read(server, make_auth):
    server.accepts = {"form"}
    make_auth().authorize()
    return {"endpoint": server.token_endpoint, "client_id": server.client_id}


@happening
def metadata_failed(clock):
    site = Site()
    site.start()
    try:
        site.pages["/token"] = [token_answer(TOKEN)]
        site.pages[RFC_8414] = [site.metadata(), Answer(403)]
        auth = ClientCredentialsAuth.from_issuer(site.url, "me", SECRET).authorize()
        clock.advance(301)
        fail(site, auth)
        auth.authorize()
    finally:
        site.stop()
    reason = (
        f"no metadata of issuer {site.url}: {site.url}{RFC_8414} answers with status 403; "
        f"{site.url}/.well-known/openid-configuration answers with status 404; "
        "check the issuer, or pass the token endpoint"
    )
    endpoint = f"{site.url}/token"
    return {"endpoint": endpoint, "client_id": "me", "reason": reason, "status": 403}


@happening
def token_refused(server, make_auth):
    auth = make_auth(scope="read")
    token = auth.get_token()
    server.revoke_all()
    assert requests.get(server.api_url, auth=auth).ok
    return {"scope": "read", "fingerprint": token.fingerprint}


TOLD = {"reason": "down: later", "error": "temporarily_unavailable", "status": 503}


@happening
def token_renewal_failed(clock):
    manager, fetch = manager_and_fetch(clock)
    token = manager.get_token(READS)
    clock.advance(3400)
    fetch.error = DOWN
    assert manager.get_token(READS) is token
    settle(manager, READS)
    return {"scope": "read", "fingerprint": token.fingerprint, "seconds_left": 200.0, **TOLD}


@happening
def endpoint_paused(clock):
    manager, fetch = manager_and_fetch(clock)
    fetch.error = DOWN
    for _ in range(3):
        with pytest.raises(TokenError):
            manager.get_token(READS)
    return {"scope": "read", "pause": 9.0, **TOLD}


@happening
def token_brief(clock):
    manager, fetch = manager_and_fetch(clock)
    fetch.lifetime = 10.0
    for _ in range(3):
        manager.get_token(READS)
    return {"scope": "read", "leeway": 20.0}


KEY = bytes(range(32))


def new_token():
    return Token(TOKEN)


@happening
def token_stored(redis_server):
    with redis_server.client() as client:
        stored = RedisTokenStore(client, timeout=10).get_or_fetch(KEY, new_token, None)
    return {"fingerprint": stored.fingerprint}


@happening
def token_from_store(make_auth):
    shelf = Shelf()
    token = make_auth(store=shelf).get_token()
    assert make_auth(store=shelf).get_token() is token
    return {"fingerprint": token.fingerprint}


@happening
def store_failed():
    with redis.Redis(port=free_port(), retry=ONCE, socket_timeout=10) as nowhere:
        RedisTokenStore(nowhere, timeout=10).get_or_fetch(KEY, new_token, None)
    return {"reason": "ConnectionError"}


@happening
def store_recovered(clock):
    with RedisServer(port=free_port()) as server, server.client(retry=ONCE) as client:
        store = RedisTokenStore(client, timeout=10)
        server.stop()
        store.get_or_fetch(KEY, new_token, None)
        server.start()
        clock.advance(2)
        store.get_or_fetch(KEY, new_token, None)
    return {}


@pytest.fixture
def redis_server():
    with RedisServer() as server:
        yield server


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(name, marks=needs_redis_server)
        if name in ("token_stored", "store_recovered")
        else name
        for name in EVENTS
    ],
)
def test_an_event_is_logged_with_the_fields_that_the_guide_lists(event, records, request):
    happen = HAPPENINGS[event]
    arguments = happen.__code__.co_varnames[: happen.__code__.co_argcount]
    expected = happen(*map(request.getfixturevalue, arguments))
    assert records.told(event) == [expected]
    assert expected.keys() == LISTED[event].fields
    (record,) = [r for r in records.all if fields_of(r)["event"] == event]
    assert record.levelname == LISTED[event].level
    assert record.name.startswith("clientcreds_requests.")
    assert record.funcName != "log"
    assert records.leaks("in-the-query") == []


def test_the_guide_lists_every_event_every_field_and_every_figure():
    assert LISTED.keys() == EVENTS.keys()
    fields = set().union(*(event.fields for event in LISTED.values()))
    explained = " ".join(table("field")).replace("`", "").replace(",", "").split()
    assert sorted(explained) == sorted(fields)
    assert tuple(table("figure")) == TokenStats._fields


def test_every_record_of_the_package_is_an_event(records, server, make_auth):
    auth = make_auth(retries=1)
    server.answer_next(RESET)
    auth.authorize()
    server.revoke_all()
    assert requests.get(server.api_url, auth=auth).ok
    assert records.all
    assert {fields_of(record)["event"] for record in records.all} <= EVENTS.keys()


def test_no_module_logs_past_the_table():
    package = Path(TokenManager.__init__.__code__.co_filename).parent
    for path in package.rglob("*.py"):
        if path.stem != "_logs":
            code = path.read_text(encoding="utf-8")
            assert not re.search(r"\blogger\.(debug|info|warning|error|exception|log)\b", code), (
                path
            )


def test_an_attempt_without_an_answer_is_told_by_the_kind_of_its_error(records, server, make_auth):
    server.answer_next(RESET, RESET)
    make_auth().authorize()
    told = [(fields["attempt"], fields["reason"]) for fields in records.told("attempt_failed")]
    assert [attempt for attempt, _ in told] == [1, 2]
    assert {reason for _, reason in told} <= {"ConnectionResetError", "RemoteDisconnected"}


def test_the_last_attempt_is_not_told_of_twice(records, server, make_auth):
    server.answer_next(Answer(503), Answer(503))
    with pytest.raises(TokenError):
        make_auth(retries=1).authorize()
    assert [fields["attempt"] for fields in records.told("attempt_failed")] == [1]
    assert [fields["status"] for fields in records.told("token_request_failed")] == [503]


def test_a_field_without_a_value_is_left_out(records, server, auth):
    server.answer_next(Answer(404), Answer(404))
    with pytest.raises(TokenError):
        auth.get_token()
    (told,) = records.told("token_request_failed")
    assert told.keys() == LISTED["token_request_failed"].fields - {"scope", "error"}


def test_the_endpoint_that_is_told_of_is_the_one_that_an_issuer_names(records, server):
    auth = ClientCredentialsAuth.from_issuer(server.issuer, server.client_id, server.client_secret)
    auth.authorize()
    (told,) = records.told("token_obtained")
    assert told["endpoint"] == server.token_endpoint


def test_without_metadata_the_issuer_is_told_of(records, server):
    server.stop()
    auth = ClientCredentialsAuth.from_issuer(server.issuer, "me", SECRET, retries=0)
    with pytest.raises(TokenError):
        auth.authorize()
    (told,) = records.told("token_request_failed")
    assert told["endpoint"].rstrip("/") == server.issuer


def test_a_token_at_hand_is_handed_out_without_a_log_record(records, server, auth):
    auth.authorize()
    del records.all[:]
    assert requests.get(server.api_url, auth=auth).ok
    assert auth.authorize().get_token()
    assert records.all == []


def test_a_failure_that_is_said_again_is_logged_once(records, clock):
    fetch = Fetch(clock)
    manager = TokenManager(fetch)
    fetch.error = TokenError("wrong secret", error="invalid_client")
    failures(manager, 2)
    for _ in range(5):
        with pytest.raises(TokenError):
            manager.get_token()
    assert len(records.told("endpoint_paused")) == 1


def test_field_names_of_the_programs_own_do_no_harm(records, server, make_auth):
    make = logging.getLogRecordFactory()

    def with_fields(*args, **kwargs):
        record = make(*args, **kwargs)
        for name in ("event", *set().union(*(event.fields for event in LISTED.values()))):
            setattr(record, name, "the program's own")
        return record

    logging.setLogRecordFactory(with_fields)
    try:
        server.answer_next(RESET)
        assert make_auth().authorize().authorized
    finally:
        logging.setLogRecordFactory(make)
    assert records.told("token_obtained")


@pytest.mark.parametrize("outcome", ["a brief token", "a failure"])
def test_nobody_waits_for_what_is_done_with_a_log_record(clock, outcome):
    gate, entered, release = (threading.Event() for _ in range(3))

    class Stuck(logging.Handler):
        def emit(self, record):
            entered.set()
            release.wait(PATIENCE)

    def fetch(request):
        gate.wait(PATIENCE)
        if outcome == "a failure":
            raise DOWN
        return Token("brief", expires_at=clock.time() + 1)

    manager = TokenManager(fetch)
    handler, logger = Stuck(logging.INFO), logging.getLogger("clientcreds_requests")
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    crowd = Crowd(1, manager.get_token)
    try:
        until(lambda: manager.entry().fetch is not None)
        future = manager.entry().fetch.future
        gate.set()
        assert entered.wait(PATIENCE)
        assert (future.exception(PATIENCE) is DOWN) is (outcome == "a failure")
        assert manager.stats().obtained == (outcome == "a brief token")  # the lock is free
    finally:
        release.set()
        crowd.join()
        logger.removeHandler(handler)
        logger.setLevel(level)


# --- No secret ------------------------------------------------------------------------------


@pytest.mark.parametrize("body", ["form", "auto"])
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_s1_no_record_of_a_failure_holds_a_secret_or_token(
    server, make_auth, records, answer, body
):
    auth = make_auth(client_auth=ClientSecretPost(SECRET), body=body, retries=0, timeout=0.5)
    server.answer_next(answer, answer)
    with pytest.raises(TokenError):
        auth.get_token()
    assert records.told("token_request_failed")
    assert records.leaks() == []


@pytest.mark.parametrize("options", UNASKED.values(), ids=UNASKED)
def test_s1_no_record_of_a_request_that_could_not_be_made_holds_a_secret(
    make_auth, records, options
):
    auth = make_auth(**{"body": "form", "retries": 0, **options})
    with pytest.raises(TokenError):
        auth.get_token()
    assert records.told("token_request_failed")
    assert records.leaks() == []


def test_s1_no_record_of_a_renewal_that_failed_holds_a_secret_or_token(
    server, make_auth, records, clock
):
    auth = make_auth(body="form", retries=1, extra_headers={"X-Key": TOKEN})
    server.answer_next(Answer(200, token_answer(TOKEN)))
    auth.authorize()
    clock.advance(3400)
    words = f"{SECRET} and {TOKEN}"
    server.answer_next(*[Answer(503, {"error": "busy", "error_description": words})] * 2)
    auth.get_token()
    settle(auth.manager)
    assert records.told("attempt_failed")
    assert records.told("token_renewal_failed")
    assert records.leaks() == []
    assert [r.exc_info for r in records.all if r.exc_info] == []


def test_the_search_for_secrets_finds_them(records):
    logger = logging.getLogger("clientcreds_requests")
    logger.debug("%s", FORBIDDEN[0])
    assert records.leaks()
