"""The store behind an auth, with every kind of client, and the checks of its constructor."""

from __future__ import annotations

import copy
import logging
import pickle
import signal
import socket
import subprocess
import sys
import time

import pytest
import redis
import redis.asyncio
import requests
from helpers import PATIENCE, Crowd, Held, together, token_answer, until
from redis.sentinel import Sentinel
from redis_server import ONCE, RedisServer, free_port, needs_redis_server
from redis_store import (  # noqa: F401 - fixtures
    KEY,
    LONG,
    PATIENT,
    PERSISTENT,
    Issuer,
    client,
    fail,
    issuer,
    long_lease,
    long_pauses,
    make_store,
    names_of,
    no_request,
    own_server,
    redis_server,
    running,
    store,
)

from clientcreds_requests import (
    TLSClientAuth,
    TokenError,
)
from clientcreds_requests.redis import RedisTokenStore
from clientcreds_requests.testing import Answer

# --- as an auth's store ---------------------------------------------------------------------

pytestmark = [
    needs_redis_server,
    # Python warns of what is shown here to work.
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]


def test_l6_two_auths_share_a_token(server, make_auth, make_store):
    first, second = make_auth(store=make_store()), make_auth(store=make_store())
    assert first.get_token() == second.get_token()
    assert len(server.token_requests) == 1


def test_r1_a_revoked_token_is_replaced_once_for_all(server, make_auth, make_store):
    auths = [make_auth(store=make_store()) for _ in range(5)]
    for auth in auths:
        assert requests.get(server.api_url, auth=auth).ok
    server.revoke_all()
    for auth in auths:
        assert requests.get(server.api_url, auth=auth).ok
    assert len(server.token_requests) == 2


def test_l2_a_token_renewed_elsewhere_is_taken_when_it_is_due(server, make_auth, make_store, clock):
    first, second = make_auth(store=make_store()), make_auth(store=make_store())
    before = first.get_token()
    assert second.get_token() == before
    clock.advance(3400)
    for auth in (first, second):
        assert auth.get_token() == before
        until(lambda auth=auth: auth.get_token() != before)
    assert first.get_token() == second.get_token()
    assert len(server.token_requests) == 2


def test_l5_signout_is_for_the_one_process(server, make_auth, make_store):
    first, second = make_auth(store=make_store()), make_auth(store=make_store())
    token = first.get_token()
    assert second.get_token() == token
    first.signout()
    assert not first.authorized
    assert second.get_token() == token
    assert first.get_token() == token  # which it finds again
    assert len(server.token_requests) == 1


def test_f3_authorize_raises_the_last_error_of_the_fleet_in_a_pause(
    server, make_auth, make_store, long_pauses
):
    server.answer_next(*[Answer(400, {"error": "invalid_scope"})] * 4)
    for _ in range(2):
        with pytest.raises(TokenError):
            make_auth(store=make_store(), body="form").authorize()
    with pytest.raises(TokenError, match="invalid_scope"):
        make_auth(store=make_store()).authorize()
    assert len(server.token_requests) == 2


def test_w4_a_pause_of_those_with_the_old_secret_is_none_of_those_with_the_new(
    server, make_auth, make_store, long_pauses
):
    for _ in range(3):
        with pytest.raises(TokenError):
            make_auth(store=make_store(), client_secret="rotated out", body="form").get_token()
    assert len(server.token_requests) == 2
    assert len({make_auth(store=make_store()).get_token().access_token for _ in range(4)}) == 1


def test_c2_another_process_is_waited_for_within_the_deadline(
    server, make_auth, make_store, long_lease
):
    held = Held()
    server.answer_next(held)
    crowd = Crowd(1, make_auth(store=make_store(), body="form").get_token)
    assert held.arrived.wait(PATIENCE)
    # Half of its time is left for a token request of its own.
    began = time.monotonic()
    assert make_auth(store=make_store(), body="form", deadline=2).get_token()
    assert time.monotonic() - began < 5
    held.released.set()
    crowd.join()
    assert len(server.token_requests) == 2


def test_a_client_without_a_secret_needs_an_encryption_key(server, make_auth, make_store):
    with pytest.raises(ValueError, match="encryption_key"):
        make_auth(store=make_store(), client_auth=TLSClientAuth())
    store = make_store(encryption_key=b"k" * 32)
    server.answer_next(Answer(200, token_answer("certified")))
    auth = make_auth(store=store, client_auth=TLSClientAuth())
    assert auth.get_token().access_token == "certified"
    same = make_store(encryption_key=b"k" * 32)
    assert make_auth(store=same, client_auth=TLSClientAuth()).get_token() == auth.get_token()


def test_s1_redis_and_who_listens_in_see_no_secret(redis_server, client, make_auth, make_store):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.connect(redis_server.address["unix_socket_path"])
        listener.sendall(b"MONITOR\r\n")
        listener.settimeout(PATIENCE)
        assert listener.recv(64) == b"+OK\r\n"
        auth = make_auth(store=make_store(), scope="read:everything")
        token = auth.get_token()
        auth.manager.invalidate(token)
        auth.signout()
        again = auth.get_token()
        with pytest.raises(TokenError):
            make_auth(store=make_store(), client_secret="wrong secret").authorize()
        client.echo("the end")
        heard = b""
        while b"the end" not in heard:
            heard += listener.recv(65536)
    dump = [part for name in client.scan_iter() for part in (name, client.dump(name))]
    assert len(dump) == 4
    seen = b"".join([heard, *dump])
    assert b"getrange" in heard.lower()
    endpoint = auth.endpoint
    for secret in (
        *(token.access_token, again.access_token, endpoint.client_id, "wrong secret"),
        *("read:everything", "s3cr3t", endpoint.url, "Bearer", "access_token", "invalid_client"),
    ):
        assert secret.encode() not in seen


def test_s1_logs_name_tokens_by_their_fingerprint(make_store, issuer, caplog):
    caplog.set_level(logging.DEBUG)
    token = make_store().get_or_fetch(KEY, issuer, None)
    make_store().get_or_fetch(KEY, no_request, None)
    ours = [r.getMessage() for r in caplog.records if r.name == "clientcreds_requests.redis"]
    assert ours == [f"stored token {token.fingerprint}"]
    assert "token-1" not in caplog.text


def test_s1_no_frame_of_an_error_shows_a_key_or_a_token(make_store, issuer):
    token = make_store(encryption_key="s" * 32).get_or_fetch(KEY, issuer, None)
    for fetch in (fail, no_request):
        trace = None
        try:
            for _ in range(3):
                try:
                    make_store(encryption_key="s" * 32).get_or_fetch(KEY, fetch, token)
                except TokenError as error:
                    trace = error.__traceback__
        except AssertionError as error:
            trace = error.__traceback__
        while trace is not None:
            shown = repr({**trace.tb_frame.f_locals, "self": None})
            if "clientcreds_requests" in trace.tb_frame.f_code.co_filename:
                assert repr(KEY) not in shown
                assert "s" * 32 not in shown
                assert token.access_token not in shown
            trace = trace.tb_next


# --- clients of Redis -----------------------------------------------------------------------


@pytest.mark.parametrize("option", ["decode_responses", "single_connection_client"])
def test_a_client_that_decodes_or_has_one_connection_will_do(redis_server, issuer, option):
    with redis_server.client(**{option: True}) as client:
        first, second = (RedisTokenStore(client, timeout=PATIENT) for _ in range(2))
        token = first.get_or_fetch(KEY, issuer, None)
        assert together(4, lambda: second.get_or_fetch(KEY, no_request, None)) == [token] * 4
        assert second.get_or_fetch(KEY, issuer, token) is issuer.tokens[1]


def test_the_settings_of_the_client_are_used_and_its_connections_left_alone(own_server, issuer):
    with own_server.client() as client:
        client.acl_setuser("ours", True, passwords=["+word"], categories=["+@all"], keys=["*"])
    pool = redis.BlockingConnectionPool(
        max_connections=1,
        host="127.0.0.1",
        port=own_server.port,
        username="ours",
        password="word",
        db=3,
        client_name="ours",
        socket_timeout=PATIENT,
    )
    with redis.Redis(connection_pool=pool) as client:
        store = RedisTokenStore(client, timeout=PATIENT)
        with client.pipeline() as pipe:
            pipe.watch("x")  # which takes the only connection there may be
            store.get_or_fetch(KEY, issuer, None)
        assert names_of(client) == ["token"]
        (ours,) = {(c["user"], c["db"]) for c in client.client_list() if c["name"] == "ours"}
        assert ours == ("ours", "3")


@pytest.fixture
def cluster():
    """The port of a cluster of one."""
    port = free_port()
    options = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    with RedisServer(*options, port=port) as server:
        with server.client() as node:
            node.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
            until(lambda: node.cluster("info")["cluster_state"] == "ok")
        yield port


@pytest.mark.parametrize("decode_responses", [False, True])
def test_a_cluster_client_works(cluster, issuer, decode_responses):
    clients = [
        redis.RedisCluster(
            "127.0.0.1", cluster, socket_timeout=PATIENT, decode_responses=decode_responses
        )
        for _ in range(2)
    ]
    first, second = (RedisTokenStore(client) for client in clients)
    token = first.get_or_fetch(KEY, issuer, None)
    assert second.get_or_fetch(KEY, no_request, None) == token
    renewed = second.get_or_fetch(KEY, issuer, token)
    assert first.get_or_fetch(KEY, no_request, token) == renewed
    second.forget(KEY, renewed)
    with pytest.raises(TokenError):
        first.get_or_fetch(KEY, fail, renewed)
    (name,) = clients[0].scan_iter()
    assert ":failure" in str(name)
    for one in clients:
        one.close()


@pytest.fixture
def make_sentinel(own_server, tmp_path):
    """Makes clients of a Sentinel that watches a Redis; its own process is an attribute."""
    port = free_port()
    (tmp_path / "sentinel.conf").write_text(
        f"port {port}\nbind 127.0.0.1\nsentinel monitor fleet 127.0.0.1 {own_server.port} 1\n"
    )
    command = ["redis-server", str(tmp_path / "sentinel.conf"), "--sentinel"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as process:

        def make(**options):
            sentinel = Sentinel([("127.0.0.1", port)], sentinel_kwargs=options)
            return sentinel.master_for("fleet", socket_timeout=LONG)

        make.process = process
        with make(retry=ONCE) as client:
            until(lambda: answers(client))
        yield make
        process.kill()


def answers(client):
    try:
        return client.ping()
    except redis.ConnectionError:
        return False


def test_a_sentinel_client_works(make_sentinel, issuer):
    stores = [RedisTokenStore(make_sentinel(), timeout=PATIENT) for _ in range(2)]
    token = stores[0].get_or_fetch(KEY, issuer, None)
    assert stores[1].get_or_fetch(KEY, no_request, None) == token
    assert stores[1].get_or_fetch(KEY, issuer, token) is issuer.tokens[1]


def test_a_sentinel_that_hangs_is_waited_for_no_longer_than_the_timeout(make_sentinel, issuer):
    store = RedisTokenStore(make_sentinel(**PERSISTENT), timeout=0.2)
    make_sentinel.process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    assert store.get_or_fetch(KEY, issuer, None) is issuer.tokens[0]
    assert time.monotonic() - began < PATIENCE


# --- the constructor ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "options", "names"),
    [
        (TypeError, {"client": "redis://localhost"}, "client"),
        (TypeError, {"client": redis.asyncio.Redis()}, "client"),
        (ValueError, {"client": redis.Redis(socket_timeout=None)}, "socket_timeout.*from_url"),
        (ValueError, {"client": redis.Redis.from_url("redis://localhost")}, "socket_timeout"),
        (TypeError, {"prefix": b"bytes"}, "prefix"),
        (ValueError, {"prefix": ""}, "prefix"),
        (TypeError, {"encryption_key": 7}, "encryption_key"),
        (ValueError, {"encryption_key": ""}, "encryption_key"),
        (ValueError, {"encryption_key": "k" * 31}, "encryption_key"),
        (ValueError, {"encryption_key": b"k" * 31}, "encryption_key"),
        (ValueError, {"timeout": 0}, "timeout"),
        (TypeError, {"timeout": None}, "timeout"),
    ],
)
def test_w8_arguments_that_cannot_work_are_rejected(error, options, names):
    with pytest.raises(error, match=names):
        RedisTokenStore(**{"client": redis.Redis(socket_timeout=1), **options})


def test_w8_a_cluster_client_without_a_timeout_is_rejected(cluster):
    with (
        redis.RedisCluster("127.0.0.1", cluster, socket_timeout=None) as client,
        pytest.raises(ValueError, match="socket_timeout"),
    ):
        RedisTokenStore(client)


def test_a_url_is_enough(own_server, issuer):
    url = f"redis://127.0.0.1:{own_server.port}/2"
    token = RedisTokenStore.from_url(url, timeout=PATIENT).get_or_fetch(KEY, issuer, None)
    client = redis.Redis.from_url(url, socket_timeout=PATIENT)
    again = RedisTokenStore(client, timeout=PATIENT)
    assert again.get_or_fetch(KEY, no_request, None) == token
    key = "k" * 32
    apart = RedisTokenStore.from_url(url, prefix="p:", encryption_key=key, timeout=PATIENT)
    assert repr(apart) == "<RedisTokenStore 'p:'>"
    assert not apart.needs_secret
    assert apart.get_or_fetch(KEY, issuer, None) is issuer.tokens[1]


def test_s1_a_repr_shows_nothing_secret():
    client = redis.Redis.from_url("redis://user:passw0rd@localhost/0", socket_timeout=1)
    store = RedisTokenStore(client, "fleet:", "k" * 32)
    assert repr(store) == "<RedisTokenStore 'fleet:'>"


def test_s2_a_store_with_a_key_is_neither_pickled_nor_copied():
    store = RedisTokenStore(redis.Redis(socket_timeout=1), encryption_key="k" * 32)
    for give_away in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="encryption_key"):
            give_away(store)


def test_s2_a_store_without_one_is_copied_and_not_pickled(client, issuer):
    store = RedisTokenStore(client, "fleet:", timeout=PATIENT)
    token = store.get_or_fetch(KEY, issuer, None)
    assert copy.copy(store).get_or_fetch(KEY, no_request, None) == token
    with pytest.raises(TypeError):
        pickle.dumps(store)


@pytest.mark.parametrize("missing", ["redis", "cryptography"])
def test_what_is_not_installed_is_named(missing):
    program = f"""
import sys
sys.modules[{missing!r}] = None
try:
    import clientcreds_requests.redis
except ImportError as error:
    print(error)
"""
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert output == (
        "clientcreds_requests.redis needs redis and cryptography: "
        "pip install 'clientcreds-requests[redis]'\n"
    )
