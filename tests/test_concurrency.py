"""Many callers: one token request for all, nobody stranded, nobody waiting for others."""

from __future__ import annotations

import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from helpers import PATIENCE, Crowd, Held, together, until

from clientcreds_requests import ClientCredentialsAuth, TokenError, TokenTimeout
from clientcreds_requests.testing import HANG, Answer

MANY = 256
REFUSAL = Answer(401, {"error": "invalid_client"})


def waiting(auth):
    """How many threads wait for the token request in flight."""
    authorizing = auth.authorizing
    return 0 if authorizing is None else len(authorizing._condition._waiters)


# C1: one token request


def test_c1_cold_threads_cause_one_token_request_and_share_its_token(server, auth):
    tokens = together(MANY, auth.get_token)
    assert len(server.token_requests) == 1
    assert {id(token) for token in tokens} == {id(auth.get_token())}
    assert tokens[0].access_token == server.tokens[0].access_token


def test_c1_cold_threads_that_call_the_api_cause_one_token_request(server, auth):
    responses = together(32, lambda: requests.get(server.api_url, auth=auth))
    assert [response.status_code for response in responses] == [200] * 32
    assert len(server.token_requests) == 1


def test_c1_threads_that_are_refused_share_one_request_and_each_has_its_own_error(server, auth):
    held = Held(REFUSAL)
    server.answer_next(held)
    crowd = Crowd(MANY, auth.get_token)
    until(lambda: waiting(auth) == MANY)
    held.released.set()
    errors = crowd.join()
    assert len(server.token_requests) == 1
    assert {type(error) for error in errors} == {TokenError}
    assert {error.error for error in errors} == {"invalid_client"}
    assert len({id(error) for error in errors}) == MANY
    (original,) = {error.__cause__ for error in errors}
    assert isinstance(original, TokenError)
    assert original not in errors
    assert {str(error) for error in errors} == {str(original)}


def test_c1_after_a_shared_failure_the_next_call_asks_again(server, auth):
    server.answer_next(REFUSAL)
    with pytest.raises(TokenError):
        auth.get_token()
    assert auth.get_token().access_token == server.tokens[0].access_token


def test_c1_different_token_requests_never_wait_for_each_other(server, auth):
    siblings = [auth.replace(scope=f"scope-{number}") for number in range(8)]
    all_there = threading.Barrier(8)

    def answer_when_all_are_there(_request):
        all_there.wait(PATIENCE)

    server.answer_next(*[answer_when_all_are_there] * 8)
    with ThreadPoolExecutor(8) as pool:
        tokens = list(pool.map(lambda sibling: sibling.get_token(), siblings))
    assert {token.scope for token in tokens} == {f"scope-{number}" for number in range(8)}
    assert len(server.token_requests) == 8


def test_c1_a_failure_of_one_token_request_is_no_failure_of_another(server, auth):
    sibling = auth.replace(scope="b")
    server.answer_next(REFUSAL)
    with pytest.raises(TokenError):
        auth.get_token()
    assert sibling.get_token().scope == "b"


def test_c1_the_lock_is_free_while_a_token_request_is_in_flight(server, auth):
    held = Held()
    server.answer_next(held)
    crowd = Crowd(4, auth.get_token)
    until(lambda: waiting(auth) == 4)
    assert auth.manager._lock.acquire(timeout=PATIENCE)
    auth.manager._lock.release()
    held.released.set()
    assert len(set(crowd.join())) == 1


# C2: nobody is stranded


def test_c2_nobody_waits_longer_than_the_deadline_for_an_endpoint_that_hangs(server, make_auth):
    auth = make_auth(deadline=0.5)
    server.answer_next(*[HANG] * 20)
    errors = together(8, auth.get_token)
    assert {type(error) for error in errors} == {TokenTimeout}
    assert all(error.retryable for error in errors)
    assert len({id(error) for error in errors}) == 8


def test_c2_an_endpoint_that_drips_its_answer_is_given_up_at_the_deadline(server, make_auth):
    auth = make_auth(deadline=2.0)
    given_up, read_to_its_end = threading.Event(), threading.Event()

    def drip():
        yield b"HTTP/1.1 200 OK\r\nX-Slow: "
        for _ in range(int(PATIENCE / 0.05)):
            if given_up.wait(0.05):
                return
            yield b"x"
        read_to_its_end.set()

    server.answer_next(drip())
    with pytest.raises(TokenTimeout):
        auth.get_token()
    given_up.set()
    assert not read_to_its_end.is_set()
    assert auth.authorize().authorized


def test_c2_after_an_outcome_that_came_too_late_the_next_call_asks_anew(server, make_auth):
    auth, held = make_auth(deadline=0.5), Held()
    server.answer_next(held)
    with pytest.raises(TokenTimeout):
        auth.get_token()
    assert auth.authorize().access_token == server.tokens[0].access_token
    held.released.set()
    assert auth.get_token().access_token == server.tokens[0].access_token


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs POSIX signals")
@pytest.mark.parametrize("position", ["first", "later"])
def test_c2_an_interrupt_of_one_caller_strands_nobody(server, auth, position):
    held = Held()
    server.answer_next(held)
    main = threading.current_thread()
    assert main is threading.main_thread()
    others = []

    def interrupt_when_all_wait():
        if position == "first":
            until(lambda: waiting(auth) == 1)
            others.append(Crowd(8, auth.get_token))
        until(lambda: waiting(auth) == 9)
        signal.pthread_kill(main.ident, signal.SIGINT)

    if position == "later":
        others.append(Crowd(8, auth.get_token))
        until(lambda: waiting(auth) == 8)
    interrupter = threading.Thread(target=interrupt_when_all_wait)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        interrupter.start()
        with pytest.raises(KeyboardInterrupt):
            auth.get_token()
    finally:
        interrupter.join(PATIENCE)
        signal.signal(signal.SIGINT, before)
    assert held.arrived.wait(PATIENCE)
    held.released.set()
    assert {token.access_token for token in others[0].join()} == {server.tokens[0].access_token}
    assert auth.get_token().access_token == server.tokens[0].access_token
    assert len(server.token_requests) == 1


# C4: no lock with a usable token


def test_c4_with_a_usable_token_no_lock_is_taken(server, auth):
    auth.authorize()
    with ThreadPoolExecutor(1) as pool, auth.manager._lock:
        assert pool.submit(auth.get_token).result(PATIENCE)
        assert pool.submit(lambda: auth.authorized).result(PATIENCE)
        assert pool.submit(lambda: auth.headers).result(PATIENCE)
        response = pool.submit(lambda: requests.get(server.api_url, auth=auth)).result(PATIENCE)
    assert response.ok


def test_c2_whoever_asks_within_a_token_request_does_not_wait_for_itself(server):
    outcomes: list[object] = []

    def client_secret() -> str:
        try:
            auth.get_token()
        except TokenError as error:
            outcomes.append(str(error))
        return server.client_secret

    auth = ClientCredentialsAuth(server.token_endpoint, server.client_id, client_secret)
    assert auth.get_token().access_token
    assert outcomes
    assert set(outcomes) == {"no token: it was asked for within its own token request"}
