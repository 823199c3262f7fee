"""Failures of version 0.1.0, each reproduced as it was observed, by public names alone."""

from __future__ import annotations

import gc
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from helpers import PATIENCE, token_answer, until
from requests.adapters import HTTPAdapter

from clientcreds_requests import (
    ClientAssertion,
    ClientCredentialsAuth,
    ClientCredentialsSession,
    Token,
    TokenError,
    TokenManager,
    TokenRequest,
    TokenTimeout,
)
from clientcreds_requests.testing import HANG, Answer, LocalAuthorizationServer


def command(program: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(program), *arguments]


def output_of(program: str, *arguments: str, timeout: float = PATIENCE) -> str:
    """What a program prints that has to end in time, and well."""
    ended = subprocess.run(
        command(program, *arguments), capture_output=True, text=True, timeout=timeout
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def client_of(server: LocalAuthorizationServer) -> tuple[str, str, str]:
    return server.token_endpoint, server.client_id, server.client_secret


def states(server: LocalAuthorizationServer) -> list[str | None]:
    """What the token of each API request was worth."""
    return [request.token_state for request in server.api_requests]


def failure(call: Callable[[], object]) -> TokenError:
    """What a call raises; the frame that catches it knows no secret."""
    try:
        call()
    except TokenError as error:
        return error
    raise AssertionError("it has not failed")


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="this system does not stop processes")
def test_l8_a_frozen_process_gets_a_token_after_it_thaws(server):
    program = """
        import os, signal, sys, time
        from clientcreds_requests import ClientCredentialsAuth
        auth = ClientCredentialsAuth(*sys.argv[1:], leeway=0, renew_ahead=60, deadline=1.5)
        auth.authorize()
        while auth.authorizing is None:  # until it is due, and its renewal under way
            time.sleep(0.02)
            auth.get_token()
        sys.stdin.readline()
        sys.setswitchinterval(60)  # this thread runs first after SIGCONT
        os.kill(os.getpid(), signal.SIGSTOP)
        print(auth.get_token().token_type)
    """
    server.lifetime = 3.0
    server.answer_next(None, HANG)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command(program, *client_of(server)), **pipes) as frozen:
        try:
            until(lambda: len(server.token_requests) == 2)
            (held,), renewal = server.tokens, server.token_requests[1]
            frozen.stdin.write(b"\n")
            frozen.stdin.flush()
            until(lambda: os.waitpid(frozen.pid, os.WUNTRACED | os.WNOHANG)[0])
            until(lambda: held.state == "expired" and time.monotonic() > renewal.started + 1.5)
            os.kill(frozen.pid, signal.SIGCONT)
            output, _ = frozen.communicate(timeout=PATIENCE)
        finally:
            frozen.kill()
    assert output.split() == [b"Bearer"]
    assert len(server.token_requests) == 3


def test_r1_copies_of_one_prepared_request_are_replayed_after_a_renewal(server, auth):
    template = requests.Request("GET", server.api_url).prepare()
    with requests.Session() as session:

        def call() -> requests.Response:
            return session.send(auth(template.copy()))

        assert call().ok
        auth.signout()
        assert call().ok  # with another token
        server.revoke_all()
        answers = [call(), call()]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert [len(answer.history) for answer in answers] == [1, 0]
    assert not any(template.hooks.values())


@pytest.mark.parametrize("own", [False, True], ids=["requests", "ClientCredentialsSession"])
def test_r5_no_new_token_goes_to_the_changed_url_of_a_signed_copy(server, make_auth, own):
    allowed = {"allowed_origins": [server.api_url.removesuffix("/api")]}
    with LocalAuthorizationServer() as elsewhere:
        session: requests.Session = requests.Session()
        if own:
            session = ClientCredentialsSession(*client_of(server), **allowed)
        with session:
            auth = session.auth if own else make_auth(**allowed)
            copied = auth(requests.Request("GET", server.api_url).prepare()).copy()
            copied.url = elsewhere.api_url
            assert session.send(copied).status_code == 401
        # In a plain session nothing of this package runs before a copy is sent.
        assert states(elsewhere) == ["none" if own else "unknown"]
    assert len(server.token_requests) == 1


class Shipping(logging.Handler):
    """Sends each record to the API, with a token."""

    def __init__(self, url: str, auth: ClientCredentialsAuth) -> None:
        super().__init__()
        self.outcomes: dict[str, int | TokenError] = {}
        self._url, self._auth = url, auth

    def emit(self, record: logging.LogRecord) -> None:
        outcome: int | TokenError
        try:
            answer = requests.post(self._url, data=record.getMessage(), auth=self._auth)
            outcome = answer.status_code
        except TokenError as error:
            outcome = error
        self.outcomes.setdefault(record.name, outcome)


@pytest.fixture
def listening(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[..., None]]:
    """Gives loggers a handler and a level, for one test."""
    added: list[tuple[logging.Logger, logging.Handler]] = []

    def listen(handler: logging.Handler, level: int, *names: str) -> None:
        for name in names:
            caplog.set_level(level, logger=name)
            logging.getLogger(name).addHandler(handler)
            added.append((logging.getLogger(name), handler))

    yield listen
    for logger, handler in added:
        logger.removeHandler(handler)


def test_c5_a_log_handler_that_asks_for_a_token_does_not_block_the_call(
    server, make_auth, listening
):
    server.accepts = {"form"}  # which is logged in the middle of the fetch
    handler = Shipping(server.api_url, make_auth(deadline=2.0))
    listening(handler, logging.INFO, "application", "clientcreds_requests")
    logging.getLogger("application").info("it has begun")
    outcomes = dict(handler.outcomes)
    assert outcomes.pop("application") == 200
    (within,) = outcomes.values()
    assert isinstance(within, TokenError)
    assert not isinstance(within, TokenTimeout)


def test_c2_the_secret_callable_may_take_a_lock_that_the_caller_holds(server):
    lock = threading.RLock()

    def secret() -> str:
        with lock:
            return server.client_secret

    client = (server.token_endpoint, server.client_id, secret)
    with ClientCredentialsSession(*client, deadline=2.0) as session, lock:
        assert session.get(server.api_url).ok


def test_c5_a_logging_filter_that_raises_costs_no_token(server, auth, listening):
    def failing(record: logging.LogRecord) -> bool:
        raise RuntimeError("this filter is broken")

    handler = logging.Handler()
    handler.addFilter(failing)
    listening(handler, logging.DEBUG, "clientcreds_requests")
    assert [requests.get(server.api_url, auth=auth).status_code for _ in range(3)] == [200] * 3
    assert len(server.token_requests) == 1


@pytest.mark.skipif(
    sys.version_info >= (3, 12),
    reason="since 3.12 starting a thread at exit raises",
)
@pytest.mark.parametrize("first", ["", "first"], ids=["no token", "a refused token"])
def test_c5_the_process_ends_when_a_finalizer_needs_a_token_at_exit(server, first):
    program = """
        import gc, os, sys
        import requests
        from clientcreds_requests import ClientCredentialsAuth

        class Last:
            def __init__(self):
                self.itself = self  # so that the collection at exit finalizes it

            def __del__(self):
                status = requests.get(api, auth=auth).status_code
                os.write(1, f"{sys.is_finalizing()} {status}".encode())

        api, first, *client = sys.argv[1:]
        auth = ClientCredentialsAuth(*client)
        if first:
            requests.get(api, auth=auth)
        gc.set_threshold(1_000_000)
        Last()
    """

    def revoke(request: Any) -> Answer:
        server.revoke_all()
        return Answer(204)

    server.api_answer_next(*[revoke] * bool(first))
    output = output_of(program, server.api_url, first, *client_of(server), timeout=10)
    assert output.split() == ["True", "200"]


def test_w7_a_proxy_on_another_machine_gets_no_secret_of_a_loopback_endpoint(server, monkeypatch):
    program = """
        import sys
        import requests
        from clientcreds_requests import ClientCredentialsAuth, InsecureTransportError
        events = []

        def note(event, arguments):
            if event in ("socket.getaddrinfo", "socket.connect"):
                events.append(arguments)

        auth = ClientCredentialsAuth(*sys.argv[2:], retries=0)
        sys.addaudithook(note)
        try:
            requests.get(sys.argv[1], auth=auth)
        except InsecureTransportError as error:
            print("rejected", events)
        except Exception as error:
            print(type(error), events)
    """
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.invalid:3128")
    endpoint, *client = client_of(server)
    endpoint = endpoint.replace("127.0.0.1", "localhost")
    output = output_of(program, "https://api.example.com/", endpoint, *client)
    assert output.strip() == "rejected []"


def count(kind: type) -> int:
    gc.collect()
    return sum(type(thing) is kind for thing in gc.get_objects())


def test_l9_an_auth_that_was_dropped_without_a_token_leaves_no_entry(auth):
    before = count(TokenRequest)
    for number in range(20_000):
        assert not auth.replace(audience=f"audience {number}").authorized
    assert count(TokenRequest) - before < 100


def issue(request: TokenRequest) -> Token:
    return Token(f"token-for-{request.audience}", expires_at=time.time() + 3600)


def test_l9_at_most_a_thousand_unused_tokens_are_kept():
    manager = TokenManager(issue)
    before = count(TokenRequest)
    for number in range(1500):
        manager.get_token(TokenRequest(audience=str(number)))
    assert 900 < count(TokenRequest) - before < 1100


def quickest(call: Callable[[], object]) -> float:
    times = []
    for _ in range(30):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return min(times)


def test_l9_signing_out_costs_the_same_with_one_entry_and_with_ten_thousand(auth):
    def costs() -> list[float]:
        of_another = Token("of-another")
        invalidate = quickest(lambda: auth.manager.invalidate(of_another))
        return [quickest(auth.signout), invalidate, quickest(auth.manager.stats)]

    with_one = costs()
    used = [auth.replace(audience=str(number)) for number in range(10_000)]
    with_many = costs()
    assert len(used) == 10_000
    assert [many < 20 * one for one, many in zip(with_one, with_many, strict=True)] == [True] * 3


def locals_of(error: BaseException) -> str:
    """The local variables that an error tracker would record of an error and its chain."""
    found, seen, pending = [], set(), [error]
    while pending:
        link = pending.pop()
        if id(link) in seen:
            continue
        seen.add(id(link))
        pending += filter(None, (link.__cause__, link.__context__))
        trace = link.__traceback__
        while trace is not None:
            found += [repr(value) for value in trace.tb_frame.f_locals.values()]
            trace = trace.tb_next
    return "\n".join(found)


def test_s1_no_frame_of_an_error_holds_the_key_of_the_store(server, make_auth):
    keys: list[bytes] = []

    class Store:
        def get_or_fetch(self, key, fetch, rejected):
            keys.append(key)
            return fetch()

    auth = make_auth(store=Store(), body="form")
    server.answer_next(Answer(400, {"error": "invalid_scope"}))
    error = failure(lambda: requests.get(server.api_url, auth=auth))
    assert error.error == "invalid_scope"
    assert repr(keys[0]) not in locals_of(error)
    assert keys[0].hex() not in locals_of(error)


def test_s1_no_frame_of_an_error_holds_an_assertion_that_cannot_be_sent(server, make_auth):
    method: Any = ClientAssertion(lambda _: b"header.claims.mac", "https://auth.example.com")
    auth = make_auth(client_auth=method)
    error = failure(lambda: requests.get(server.api_url, auth=auth))
    assert "header.claims.mac" not in locals_of(error)
    assert not server.token_requests


@pytest.mark.parametrize("length", [20, 400])
def test_w8_a_secret_in_the_place_of_its_file_is_not_quoted(server, monkeypatch, length):
    secret = "s3cr3t-".ljust(length, "x")
    monkeypatch.setenv("CLIENTCREDS_TOKEN_ENDPOINT", server.token_endpoint)
    monkeypatch.setenv("CLIENTCREDS_CLIENT_ID", server.client_id)
    monkeypatch.setenv("CLIENTCREDS_CLIENT_SECRET_FILE", secret)
    with pytest.raises(ValueError, match="CLIENTCREDS_CLIENT_SECRET_FILE") as caught:
        ClientCredentialsAuth.from_env()
    link: BaseException | None = caught.value
    while link is not None:
        assert secret not in f"{link!r} {link} {vars(link)}"
        link = link.__cause__ or link.__context__


def test_a_session_without_its_auth_follows_redirects_without_a_token(server):
    with ClientCredentialsSession(*client_of(server)) as session:
        session.auth = None
        session.headers["Authorization"] = "Basic of-the-caller"
        server.api_answer_next(Answer(302, headers={"Location": "/elsewhere"}))
        answer = session.get(server.api_url)
    assert [earlier.status_code for earlier in answer.history] == [302]
    assert [request.path for request in server.api_requests] == ["/api", "/elsewhere"]
    sent = [request.headers["Authorization"] for request in server.api_requests]
    assert sent == ["Basic of-the-caller"] * 2
    assert not server.token_requests


def test_f2_retry_after_is_what_is_left_to_wait(server, make_auth, clock):
    auth = make_auth(retries=0, body="form")
    server.answer_next(Answer(503, headers={"Retry-After": "8"}))
    assert failure(auth.get_token).retry_after == 8
    clock.advance(3)
    assert failure(auth.get_token).retry_after == pytest.approx(5, abs=0.1)
    assert len(server.token_requests) == 1


def test_l5_no_object_holds_the_token_after_signout(server):
    program = """
        import gc, hashlib, re, sys
        import requests
        from clientcreds_requests import ClientCredentialsAuth

        def texts():
            seen, pending = {}, gc.get_objects()
            while pending:
                thing = pending.pop()
                if id(thing) not in seen:
                    seen[id(thing)] = thing
                    if isinstance(thing, str):
                        yield thing
                    elif isinstance(thing, (bytes, bytearray)):
                        yield thing.decode("latin-1")
                    else:
                        pending += gc.get_referents(thing)

        def is_held(digest):
            gc.collect()
            return any(
                hashlib.sha256(word.encode()).digest() == digest
                for text in texts()
                for word in re.findall("[A-Za-z0-9_-]{43}", text)
            )

        api, *client = sys.argv[1:]
        auth = ClientCredentialsAuth(*client)
        requests.get(api, auth=auth).raise_for_status()
        digest = hashlib.sha256(auth.access_token.encode()).digest()
        print(is_held(digest))
        auth.signout()
        print(is_held(digest))
    """
    assert output_of(program, server.api_url, *client_of(server)).split() == ["True", "False"]


def test_s1_the_values_of_extra_params_are_redacted(server, make_auth):
    api_key = "key-of-this-customer"
    auth = make_auth(extra_params={"api_key": api_key}, body="form")

    def echo(request: Any) -> Answer:
        words = f"there is no {request.params['api_key']}"
        return Answer(400, {"error": "invalid_request", "error_description": words})

    server.answer_next(echo)
    error = failure(auth.get_token)
    assert error.error_description == "there is no [redacted]"
    assert error.response is not None
    shown = (repr(auth), repr(TokenRequest(extra_params={"api_key": api_key})))
    assert api_key not in f"{shown} {error!r} {error} {error.response.text}"


def test_l2_a_subinterpreter_without_daemon_threads_gets_a_token(server):
    if sys.version_info < (3, 12):
        pytest.skip("subinterpreters before 3.12 allow daemon threads, or no threads at all")
    program = """
        import os, sys
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        within = f'''
            import sys, threading, warnings
            try:
                threading.Thread(daemon=True)
                print("daemon threads are allowed")
            except RuntimeError:
                print("no daemon threads")
            warnings.simplefilter("ignore")  # some extension modules cannot be imported here
            from clientcreds_requests import ClientCredentialsAuth
            auth = ClientCredentialsAuth(*{sys.argv[1:]!r})
            print(auth.get_token().token_type)
            sys.stdout.flush()
        '''
        interpreters.run_string(interpreters.create(), textwrap.dedent(within))
        os._exit(0)  # 3.12 may crash when it destroys an interpreter
    """
    output = output_of("import textwrap\n" + textwrap.dedent(program), *client_of(server))
    assert output.splitlines() == ["no daemon threads", "Bearer"]


def test_r1_a_refusal_after_a_redirect_is_in_the_history(server):
    with ClientCredentialsSession(*client_of(server)) as session:
        server.api_answer_next(Answer(302, headers={"Location": "/elsewhere"}), Answer(401))
        answer = session.get(server.api_url)
    assert answer.status_code == 200
    assert [earlier.status_code for earlier in answer.history] == [302, 401]


def test_w8_a_secret_file_that_is_too_large_is_an_error(server, monkeypatch, tmp_path):
    file = tmp_path / "secret"
    file.write_text("x" * 70_000)
    monkeypatch.setenv("CLIENTCREDS_TOKEN_ENDPOINT", server.token_endpoint)
    monkeypatch.setenv("CLIENTCREDS_CLIENT_ID", server.client_id)
    monkeypatch.setenv("CLIENTCREDS_CLIENT_SECRET_FILE", str(file))
    with pytest.raises(ValueError, match=r"CLIENTCREDS_CLIENT_SECRET_FILE: .*65536 bytes"):
        ClientCredentialsAuth.from_env()
    file.write_text(server.client_secret)
    auth = ClientCredentialsAuth.from_env()
    file.write_text("x" * 70_000)  # it may grow later
    assert "ValueError" in str(failure(auth.get_token))
    assert not server.token_requests


class DefaultPorts(HTTPAdapter):
    """Connects to another port in place of the default ports, which only root can open."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port

    def get_connection_with_tls_context(self, request, verify, proxies=None, cert=None):
        return self.poolmanager.connection_from_host("127.0.0.1", self._port, scheme="http")


def test_r5_no_token_follows_a_redirect_from_http_to_https_of_the_same_host(server, make_auth):
    port = requests.utils.urlparse(server.api_url).port
    assert port is not None
    auth = make_auth(allowed_origins=["http://127.0.0.1"])
    server.api_answer_next(Answer(302, headers={"Location": "https://127.0.0.1/api"}))
    with requests.Session() as session:
        for scheme in ("http://", "https://"):
            session.mount(scheme, DefaultPorts(port))
        answer = session.get("http://127.0.0.1/api", auth=auth)
    assert (answer.url, answer.status_code) == ("https://127.0.0.1/api", 401)
    assert states(server) == ["valid", "none"]


def test_r5_a_rate_limiting_mixin_passes_every_option_on(server):
    reason = "requests-ratelimiter is not installed"
    ratelimiter = pytest.importorskip("requests_ratelimiter", reason=reason)

    class Limited(ratelimiter.LimiterMixin, ClientCredentialsSession):
        pass

    endpoint, client_id, secret = client_of(server)
    with (
        LocalAuthorizationServer() as elsewhere,
        Limited(
            per_second=100,
            token_endpoint=endpoint,
            client_id=client_id,
            client_secret=secret,
            scope="api:read",
            allowed_origins=[server.api_url.removesuffix("/api")],
            client_auth="client_secret_basic",
        ) as session,
    ):
        assert session.get(server.api_url).ok
        assert session.get(elsewhere.api_url).status_code == 401
        assert states(elsewhere) == ["none"]
    (asked,) = server.token_requests
    assert asked.params["scope"] == "api:read"
    assert asked.headers["Authorization"].startswith("Basic ")


def test_r1_a_refusal_is_replayed_within_the_mocker_of_requests_mock():
    requests_mock = pytest.importorskip("requests_mock", reason="requests-mock is not installed")
    endpoint, api = "https://auth.example.com/token", "https://api.example.com/data"
    auth = ClientCredentialsAuth(endpoint, "id", "secret", deadline=2.0)
    with requests_mock.Mocker() as mock:
        mock.post(endpoint, [{"json": token_answer("T1")}, {"json": token_answer("T2")}])
        mock.get(api, [{"status_code": 401}, {"json": {"a": 1}}])
        answer = requests.get(api, auth=auth)
    assert (answer.status_code, answer.json()) == (200, {"a": 1})
    carried = [sent.request.headers["Authorization"] for sent in (*answer.history, answer)]
    assert carried == ["Bearer T1", "Bearer T2"]
