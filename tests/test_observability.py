"""What is to be seen of a token's life: the log records that README lists, and the figures."""

from __future__ import annotations

import logging
import math
import os
import pickle
import random
import re
import threading
from pathlib import Path
from types import SimpleNamespace

import prometheus_client
import pytest
import redis
import requests
from helpers import PATIENCE, Crowd, Held, texts_in, together, token_answer, until
from redis_server import ONCE, RedisServer, free_port, needs_redis_server
from test_discovery import RFC_8414, Site, fail
from test_exceptions import ANSWERS, FORBIDDEN, SECRET, TOKEN, UNASKED, leaks
from test_forks import ended_well, fork
from test_manager import Fetch, failures, settle
from test_stores import Shelf

from clientcreds_requests import (
    ClientCredentialsAuth,
    ClientSecretPost,
    Token,
    TokenEndpoint,
    TokenError,
    TokenManager,
    TokenRequest,
    TokenTimeout,
)
from clientcreds_requests._logs import EVENTS, PREFIX
from clientcreds_requests.redis import RedisTokenStore
from clientcreds_requests.testing import RESET, Answer
from clientcreds_requests.tokens import TokenStats

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
SECTION = README.partition("\n## Observability\n")[2].partition("\n## ")[0]
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


DOWN = TokenError(
    "down: later",
    error="temporarily_unavailable",
    error_description="come back later",
    error_uri="https://as.example/down",
    status_code=503,
    retry_after=9.0,
)
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


def manager_and_fetch(clock):
    fetch = Fetch(clock)
    return TokenManager(fetch), fetch


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
    with redis.Redis(port=free_port(), retry=ONCE) as nowhere:
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
def test_an_event_is_logged_with_the_fields_that_the_readme_lists(event, records, request):
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


def test_the_readme_lists_every_event_every_field_and_every_figure():
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
    server.answer_next(Answer(404))
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


# --- The figures ----------------------------------------------------------------------------


def test_at_first_all_figures_are_nought(auth):
    assert auth.manager.stats() == TokenStats(0, 0, 0, 0, 0, 0, 0, None, None)


def stats_of_sixteen(server, auth, held):
    """What is counted when so many wait for one token request together."""
    server.answer_next(held)
    crowd = Crowd(16, auth.get_token)
    until(lambda: auth.manager.stats().joined == 15)
    held.released.set()
    crowd.join()
    return auth.manager.stats()


def test_callers_who_joined_a_token_request_are_counted(server, auth):
    stats = stats_of_sixteen(server, auth, Held())
    assert stats._replace(seconds_left=None) == TokenStats(obtained=1, joined=15)
    assert 3500 < stats.seconds_left <= 3600


def test_a_token_request_that_failed_is_counted_once_for_all_its_callers(server, auth):
    refused = Held(Answer(401, {"error": "invalid_client"}))
    stats = stats_of_sixteen(server, auth, refused)
    assert stats._replace(last_error_at=None) == TokenStats(failed=1, joined=15)
    assert stats.last_error_at is not None


def test_every_caller_in_an_outage_is_counted_once():
    fetch = Fetch()
    fetch.error = TokenError("down")
    manager = TokenManager(fetch)

    def call():
        for _ in range(100):
            with pytest.raises(TokenError):
                manager.get_token()

    together(16, call)
    stats = manager.stats()
    assert stats.failed == fetch.calls
    assert stats.failed + stats.joined + stats.paused == 1600


def test_counts_are_exact_however_threads_interleave():
    issued, refused = [], []

    def fetch(request):
        issued.append(request)
        return Token(f"token-{random.random()}")

    manager = TokenManager(fetch)
    requests_ = [TokenRequest(scope=scope) for scope in "abc"]

    def call():
        mine = random.Random(threading.get_ident())
        for _ in range(100):
            request = mine.choice(requests_)
            token = manager.get_token(request)
            if mine.random() < 0.5 and manager.invalidate(token, request):
                refused.append(token)
            if mine.random() < 0.3:
                manager.clear(request)

    together(16, call)
    stats = manager.stats()
    assert (stats.obtained, stats.failed, stats.paused) == (len(issued), 0, 0)
    assert stats.refused == len(refused)


def test_an_outage_is_counted_and_its_last_moment_told(clock):
    manager, fetch = manager_and_fetch(clock)
    fetch.error = TokenError("down")
    failures(manager, 2)
    last = clock.time()
    for _ in range(5):
        with pytest.raises(TokenError):
            manager.get_token()
    clock.advance(60)
    fetch.error = None
    manager.get_token()
    expected = TokenStats(
        obtained=1, failed=2, paused=5, last_error_at=last, seconds_left=pytest.approx(3600)
    )
    assert manager.stats() == expected


def test_a_revoked_token_is_counted(server, auth):
    auth.authorize()
    server.revoke_all()
    assert requests.get(server.api_url, auth=auth).ok
    stats = auth.manager.stats()
    assert (stats.obtained, stats.refused, stats.renewed_ahead) == (2, 1, 0)


def test_a_token_that_is_not_forgotten_is_not_counted_as_refused(clock):
    manager, _ = manager_and_fetch(clock)
    manager.invalidate(manager.get_token())
    assert not manager.invalidate(manager.get_token())  # it is a replacement at rest
    assert not manager.invalidate(Token("somebody-elses"))
    assert manager.stats().refused == 1


def test_a_token_got_ahead_of_time_is_counted_as_such(clock):
    manager, _ = manager_and_fetch(clock)
    first = manager.get_token()
    clock.advance(3400)
    assert manager.get_token() is first
    settle(manager)
    stats = manager.stats()
    assert (stats.obtained, stats.renewed_ahead, stats.joined) == (2, 1, 0)


def test_callers_who_are_served_in_an_outage_have_joined_nothing(clock):
    gate, down = threading.Event(), TokenError("down")
    first = Token("first", expires_at=clock.time() + 3600)
    script = [lambda: first, lambda: down, lambda: gate.wait(PATIENCE) and down]

    def fetch(_):
        outcome = script.pop(0)()
        if outcome is down:
            raise down
        return outcome

    manager = TokenManager(fetch, renew_ahead=0)
    manager.get_token()
    clock.advance(3585)
    assert [manager.get_token() for _ in range(5)] == [first] * 5
    stats = manager.stats()
    gate.set()
    settle(manager)
    assert (stats.joined, stats.failed, stats.paused) == (0, 1, 0)
    assert manager.stats().failed == 2


def test_a_renewal_that_failed_is_counted_though_nobody_noticed(clock):
    manager, fetch = manager_and_fetch(clock)
    manager.get_token()
    clock.advance(3400)
    fetch.error = DOWN
    manager.get_token()
    settle(manager)
    expected = TokenStats(obtained=1, failed=1, last_error_at=clock.time(), seconds_left=200.0)
    assert manager.stats() == expected


def test_tokens_of_a_store_are_told_apart_from_those_issued(make_auth):
    shelf = Shelf()
    first, second = make_auth(store=shelf), make_auth(store=shelf)
    assert first.get_token() is second.get_token()
    assert first.manager.stats()[:2] == (1, 0)
    assert second.manager.stats()[:2] == (0, 1)


def test_a_token_request_that_was_given_up_has_failed_whatever_comes_of_it(server, make_auth):
    auth, held = make_auth(deadline=0.5), Held()
    server.answer_next(held)
    with pytest.raises(TokenTimeout):
        auth.get_token()
    held.released.set()
    settle(auth.manager)
    assert auth.manager.stats()[:5] == TokenStats(failed=1)[:5]


def test_a_token_that_came_after_a_sign_out_was_obtained_too(server, auth):
    held = Held()
    server.answer_next(held)
    crowd = Crowd(2, auth.get_token)
    until(lambda: auth.manager.stats().joined == 1)
    auth.signout()
    held.released.set()
    crowd.join()
    assert auth.manager.stats() == TokenStats(obtained=1, joined=1)


def test_an_interrupted_token_request_has_neither_failed_nor_succeeded(clock):
    manager, fetch = manager_and_fetch(clock)
    fetch.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        manager.get_token()
    assert manager.stats() == TokenStats()


def test_signing_out_does_not_touch_the_counts(clock):
    manager, fetch = manager_and_fetch(clock)
    fetch.error = DOWN
    failures(manager, 1)
    fetch.error = None
    manager.get_token(insist=True)
    manager.clear()
    expected = TokenStats(obtained=1, failed=1, last_error_at=clock.time())
    assert manager.stats() == expected


def test_figures_are_of_all_token_requests_and_of_the_token_received_last(server, make_auth):
    auth = make_auth(scope="a").authorize()
    sibling = auth.replace(scope="b")
    assert auth.manager.stats().seconds_left > 3500
    server.lifetime = 60
    sibling.authorize()
    stats = auth.manager.stats()
    assert stats == sibling.manager.stats()._replace(seconds_left=stats.seconds_left)
    assert stats.obtained == 2
    assert 50 < stats.seconds_left <= 60
    sibling.signout()
    assert auth.manager.stats().seconds_left is None


def test_an_expired_token_is_none_that_is_held(clock):
    manager, fetch = manager_and_fetch(clock)
    manager.get_token()
    clock.advance(3600)
    assert manager.stats().seconds_left is None
    fetch.lifetime = None
    manager.get_token()
    assert manager.stats().seconds_left == math.inf


def test_figures_are_a_value_that_does_not_change(clock):
    manager, _ = manager_and_fetch(clock)
    before = manager.stats()
    manager.get_token()
    assert before == TokenStats()
    with pytest.raises(AttributeError):
        before.obtained = 7


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_counts_from_nought_and_its_parent_goes_on(server, auth):
    server.answer_next(Answer(400, {"error": "invalid_scope"}))
    with pytest.raises(TokenError):
        auth.authorize()
    auth.authorize()
    before = auth.manager.stats()

    def child():
        stats = auth.manager.stats()
        assert stats._replace(seconds_left=None) == TokenStats()
        assert stats.seconds_left > 3500
        auth.signout()
        auth.authorize()
        assert auth.manager.stats().obtained == 1

    assert ended_well(fork(child))
    assert auth.manager.stats()._replace(seconds_left=before.seconds_left) == before
    assert before.obtained == before.failed == 1


def secret_from_environment():
    return os.environ["TEST_CLIENT_SECRET"]


def test_a_pickled_auth_counts_from_nought(server, monkeypatch):
    monkeypatch.setenv("TEST_CLIENT_SECRET", server.client_secret)
    auth = ClientCredentialsAuth(server.token_endpoint, server.client_id, secret_from_environment)
    auth.authorize()
    assert pickle.loads(pickle.dumps(auth)).manager.stats() == TokenStats()
    assert pickle.loads(pickle.dumps(auth.manager.stats())).obtained == 1


def test_the_readmes_metrics_are_the_figures(server, auth, monkeypatch):
    registry = prometheus_client.CollectorRegistry(auto_describe=True)
    monkeypatch.setattr(prometheus_client, "REGISTRY", registry)
    (block,) = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
    exec(compile(block, "README.md", "exec"), {"auth": auth})
    auth.authorize()
    server.revoke_all()
    assert requests.get(server.api_url, auth=auth).ok
    stats = auth.manager.stats()
    for name in TokenStats._fields[:7]:
        assert registry.get_sample_value(f"clientcreds_{name}_total") == getattr(stats, name)
    assert registry.get_sample_value("clientcreds_seconds_left") > 3500
    assert registry.get_sample_value("clientcreds_last_error_at") is None
    assert b"clientcreds_obtained_total 2.0" in prometheus_client.generate_latest(registry)


def test_the_last_error_of_several_requests_is_the_latest_of_all(clock):
    fetch = Fetch(clock)
    fetch.error = TokenError("down")
    manager = TokenManager(fetch)
    for scope in ("a", "b", "c"):
        clock.advance(10)
        with pytest.raises(TokenError):
            manager.get_token(TokenRequest(scope=scope))
    assert manager.stats().last_error_at == clock.time()


def test_the_fields_of_a_record_have_the_names_that_readme_promises(auth, caplog):
    caplog.set_level(logging.DEBUG, "clientcreds_requests")
    token = auth.get_token()
    (record,) = (r for r in caplog.records if r.name.startswith("clientcreds_requests"))
    assert record.clientcreds_event == "token_obtained"
    assert record.clientcreds_fingerprint == token.fingerprint
