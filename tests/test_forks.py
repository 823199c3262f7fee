"""C3: forks, gevent and gunicorn, as real processes."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
import requests
from fetches import Fetch
from helpers import Crowd
from requests.adapters import HTTPAdapter
from steps import broken_into

from clientcreds_requests import (
    ClientCredentialsAuth,
    ClientCredentialsSession,
    TokenError,
    TokenManager,
)
from clientcreds_requests._fork import drop_connections, reset_in_child
from clientcreds_requests.testing import HANG, Answer, RecordedRequest

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork"),
    # Python warns of what is shown here to work.
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]


def fork(child: Callable[[], object]) -> int:
    """Run something in a forked child; its pid."""
    pid = os.fork()
    if pid == 0:  # pragma: no cover - another process
        status = 1
        try:
            child()
            status = 0
        finally:
            os._exit(status)
    return pid


def ended_well(pid: int) -> bool:
    """Has the child ended without a failure? One that hangs is killed."""
    watchdog = threading.Timer(30, os.kill, (pid, signal.SIGKILL))
    watchdog.start()
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    finally:
        watchdog.cancel()
        watchdog.join()


def held_at(gate: threading.Event, arrived: threading.Event) -> Callable[[RecordedRequest], None]:
    """A script for the server: say that the request has arrived, and hold it at a gate."""

    def script(_: RecordedRequest) -> None:
        arrived.set()
        gate.wait(10)

    return script


@contextmanager
def held_by_another_thread(lock: AbstractContextManager[object]) -> Iterator[None]:
    """Have a thread hold a lock: in a child, nobody is left who could let it go."""
    held, gate = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            gate.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(10)
    try:
        yield
    finally:
        gate.set()
        thread.join(10)


@pytest.fixture
def session(server):
    with ClientCredentialsSession(
        server.token_endpoint, server.client_id, server.client_secret, base_url=server.api_url
    ) as session:
        yield session


def test_c3_a_child_forked_during_a_fetch_gets_a_token_and_leaves_the_parents_alone(server, auth):
    arrived, gate = threading.Event(), threading.Event()
    server.answer_next(held_at(gate, arrived))
    thread = threading.Thread(target=auth.authorize)
    thread.start()
    assert arrived.wait(10)
    pid = fork(auth.authorize)
    assert ended_well(pid)
    assert auth.access_token is None
    gate.set()
    thread.join(10)
    assert auth.authorized
    assert len(server.token_requests) == 2


def test_c3_a_child_forked_at_any_step_of_another_thread_works(clock):
    def uses(manager: TokenManager, fetch: Fetch) -> None:
        """A life of a token: received, refused, replaced, signed out; and a failure."""
        manager.invalidate(manager.get_token())
        manager.get_token()
        clock.advance(3400)
        manager.get_token(insist=True)
        manager.clear()
        fetch.error = TokenError("down")
        with pytest.raises(TokenError):
            manager.get_token()
        fetch.error = None

    def child(manager: TokenManager, fetch: Fetch) -> None:
        fetch.error = None
        clock.advance(30)  # the end of any pause
        for _ in range(3):
            token = manager.get_token()
            assert manager.get_token() is token
            clock.advance(10)  # for which a replacement stays
            assert manager.invalidate(token)
        manager.stats()
        turn = threading.Lock()

        def is_cached() -> bool:
            with turn:
                manager.clear()
                return manager.get_token() is manager.get_token()

        # In new threads, one of which may have the identity of that in the parent.
        assert Crowd(2, is_cached).join() == [True, True]

    def scenario(step: int) -> bool:
        fetch, at_step, go_on = Fetch(clock), threading.Event(), threading.Event()
        manager, reached = TokenManager(fetch, renew_ahead=0), []

        def stop() -> None:
            at_step.set()
            go_on.wait(30)

        def work() -> None:
            reached.append(broken_into(step, stop, lambda: uses(manager, fetch)))
            at_step.set()

        thread = threading.Thread(target=work)
        thread.start()
        assert at_step.wait(30)
        assert ended_well(fork(lambda: child(manager, fetch)))
        go_on.set()
        thread.join(30)
        return reached == [True]

    step = 0
    while scenario(step):
        step += 3  # each takes a process
    assert step > 200


def test_c3_a_child_works_though_a_thread_of_its_parent_held_the_lock(server, auth):
    with held_by_another_thread(auth.manager._lock):
        pid = fork(auth.authorize)
        assert ended_well(pid)


def test_c3_a_child_keeps_the_token_it_was_born_with(server, auth):
    auth.authorize()
    assert ended_well(fork(lambda: requests.get(server.api_url, auth=auth).raise_for_status()))
    assert len(server.token_requests) == 1


def test_c3_a_child_renews_its_own_token_though_the_parent_was_renewing_it(server, make_auth):
    server.lifetime = 12
    auth = make_auth(leeway=1, renew_ahead=11)
    auth.authorize()
    arrived, gate = threading.Event(), threading.Event()
    server.answer_next(held_at(gate, arrived))
    while not arrived.wait(0.05):
        auth.get_token()

    def child() -> None:
        token = auth.get_token()
        while auth.get_token() is token:
            pass

    assert ended_well(fork(child))
    gate.set()


def test_c3_a_child_shares_no_pooled_connection_with_its_parent(server, session):
    session.get("before").raise_for_status()
    pids = [fork(lambda: session.get("child").raise_for_status()) for _ in range(8)]
    for _ in range(20):
        session.get("parent").raise_for_status()
    assert [ended_well(pid) for pid in pids] == [True] * 8
    ports = {
        path: {r.client_port for r in server.api_requests if r.path == f"/api/{path}"}
        for path in ("before", "parent", "child")
    }
    assert ports["before"] == ports["parent"]
    assert len(ports["child"]) == 8
    assert not ports["child"] & ports["parent"]


def test_c3_a_child_closes_the_connections_of_its_parent_and_the_parent_goes_on(server, session):
    session.get("before").raise_for_status()

    def child() -> None:
        pools = session.get_adapter(server.api_url).poolmanager.pools
        sockets = [
            connection.sock
            for key in pools.keys()  # noqa: SIM118 - its iteration is forbidden
            for connection in pools[key].pool.queue
            if connection is not None
        ]
        assert sockets == []

    assert ended_well(fork(child))
    session.get("after").raise_for_status()
    assert len({r.client_port for r in server.api_requests}) == 1


def test_c3_a_session_given_as_transport_is_not_shared_either(server, make_auth):
    with requests.Session() as transport:
        auth = make_auth(session=transport)
        transport.get(server.api_url, auth=auth).raise_for_status()

        def child() -> None:
            transport.get(f"{server.api_url}/child", auth=auth).raise_for_status()

        assert ended_well(fork(child))
        transport.get(server.api_url, auth=auth).raise_for_status()
    ports = [r.client_port for r in server.api_requests]
    assert ports[0] == ports[2] != ports[1]


def test_c3_a_child_works_though_a_thread_held_the_lock_of_the_cookies(server, session):
    session.get("before")
    with held_by_another_thread(session.cookies._cookies_lock):
        pid = fork(lambda: session.get("child").raise_for_status())
        assert ended_well(pid)


def test_c3_what_cannot_be_reset_does_not_keep_the_rest_from_being_reset(server, session):
    class Broken:
        pass

    def fail(_: Broken) -> None:
        raise RuntimeError("no way")

    first, last = Broken(), Broken()
    reset_in_child(first, fail)
    another = ClientCredentialsAuth(server.token_endpoint, server.client_id, server.client_secret)
    reset_in_child(last, fail)
    with held_by_another_thread(another.manager._lock):
        assert ended_well(fork(another.authorize))


def test_c3_a_child_does_not_mind_a_pool_that_was_closed(server, session):
    session.get("before")
    pools = session.get_adapter(server.api_url).poolmanager.pools
    for key in pools.keys():  # noqa: SIM118 - its iteration is forbidden
        pools[key].close()
    assert ended_well(fork(lambda: drop_connections(session)))


def test_c3_a_child_may_use_the_place_in_a_pool_that_a_thread_of_its_parent_holds(server, session):
    session.mount("http://", HTTPAdapter(pool_maxsize=1, pool_block=True))
    session.auth.authorize()
    arrived, gate = threading.Event(), threading.Event()
    server.api_answer_next(held_at(gate, arrived))
    thread = threading.Thread(target=session.get, args=("parent",))
    thread.start()
    arrived.wait(10)
    pid = fork(lambda: session.get("child").raise_for_status())
    assert ended_well(pid)
    gate.set()
    thread.join(10)


def test_c3_a_thousand_children_forked_at_any_moment_get_their_token(server, session):
    server.lifetime = 2
    server.latency = 0.01
    session.auth = session.auth.replace()
    auth = ClientCredentialsAuth(
        server.token_endpoint, server.client_id, server.client_secret, leeway=0.5
    )
    stop, failures = threading.Event(), []

    def hammer() -> None:
        while not stop.is_set():
            try:
                requests.get(server.api_url, auth=auth, timeout=10).raise_for_status()
                session.get("data", timeout=10, auth=auth).raise_for_status()
                auth.signout()
            except requests.RequestException as error:
                failures.append(error)

    def child() -> None:
        auth.get_token()
        session.get("child", timeout=10, auth=auth).raise_for_status()

    threads = [threading.Thread(target=hammer) for _ in range(3)]
    for thread in threads:
        thread.start()
    statuses = []
    for _ in range(50):
        pids = [fork(child) for _ in range(20)]
        statuses += [ended_well(pid) for pid in pids]
    stop.set()
    for thread in threads:
        thread.join(20)
    assert failures == []
    assert statuses == [True] * 1000


# --- other people's runtimes ----------------------------------------------------------------


def run(program: str, *arguments: str, **environment: str) -> str:
    """The output of a Python program that must end well."""
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "error::ResourceWarning",
            "-c",
            textwrap.dedent(program),
            *arguments,
        ],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


needs_gevent = pytest.mark.skipif(
    importlib.util.find_spec("gevent") is None, reason="gevent is not installed"
)
needs_gunicorn = pytest.mark.skipif(
    importlib.util.find_spec("gunicorn") is None, reason="gunicorn is not installed"
)


@needs_gevent
@pytest.mark.parametrize("first", ["gevent", "package"])
def test_c3_greenlets_share_one_token_request_whichever_was_imported_first(server, first):
    server.latency, server.lifetime = 0.2, 12
    program = """
        import sys
        url, client_id, secret, api, first = sys.argv[1:]
        if first == "package":
            import clientcreds_requests
        import warnings
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from gevent import monkey
            monkey.patch_all()
        import gevent, requests
        from clientcreds_requests import ClientCredentialsAuth
        auth = ClientCredentialsAuth(url, client_id, secret, leeway=1, renew_ahead=11)
        ticks = []
        ticker = gevent.spawn(lambda: [(ticks.append(1), gevent.sleep(0.01)) for _ in range(10)])
        calls = [gevent.spawn(requests.get, api, auth=auth) for _ in range(20)]
        gevent.joinall(calls + [ticker], timeout=30, raise_error=True)
        assert {call.value.status_code for call in calls} == {200}
        gevent.sleep(0.2)
        before = auth.access_token
        while auth.get_token().access_token == before:  # until a greenlet has renewed it
            gevent.sleep(0.01)
        print(len(ticks))
    """
    where = (server.token_endpoint, server.client_id, server.client_secret, server.api_url)
    assert int(run(program, *where, first)) == 10
    assert len(server.token_requests) == 2


def test_c3_no_module_is_first_imported_by_a_call(server):
    program = """
        import sys, requests
        from clientcreds_requests import ClientCredentialsSession, TokenError
        url, client_id, secret, api = sys.argv[1:]
        requests.post(api).content  # what requests itself imports late
        before = set(sys.modules)
        with ClientCredentialsSession(url, client_id, secret, base_url=api) as session:
            session.get("a").raise_for_status()
            session.auth.manager.invalidate(session.auth.get_token())
            session.post("b", data=b"b").raise_for_status()
            try:
                session.auth.replace(scope="unknown").authorize()
            except TokenError:
                print(sorted(set(sys.modules) - before))
    """
    server.scopes = frozenset({"known"})
    where = (server.token_endpoint, server.client_id, server.client_secret, server.api_url)
    assert run(program, *where) == "[]\n"


def test_l2_a_token_can_be_got_while_the_interpreter_exits(server):
    program = """
        import atexit, sys
        from clientcreds_requests import ClientCredentialsAuth
        url, client_id, secret = sys.argv[1:]
        auth = ClientCredentialsAuth(url, client_id, secret)
        due = ClientCredentialsAuth(url, client_id, secret, leeway=3599, renew_ahead=3600)
        due.authorize()
        class Last:
            def __del__(self, auth=auth, due=due):
                due.get_token()
                print(bool(due.access_token), auth.authorized)
        last = Last()
        atexit.register(lambda: print(auth.authorize().authorized))
    """
    where = (server.token_endpoint, server.client_id, server.client_secret)
    assert run(program, *where).split() == ["True", "True", "True"]


LATER = """
        import types
        later = types.ModuleType("later")  # in which nothing refers to this program
        exec(
            "import time as real\\n"
            "seconds = 0\\n"
            "def time(): return real.time() + seconds\\n"
            "def monotonic(): return real.monotonic() + seconds\\n"
            "from clientcreds_requests import _state, manager, tokens\\n",
            vars(later),
        )
        later._state.time = later.manager.time = later.tokens.time = later
"""
"""Makes it later by as many seconds as it is told."""


def test_l2_a_token_that_is_due_when_the_interpreter_exits_serves_without_a_renewal(server):
    program = f"""{LATER}
        import sys
        from clientcreds_requests import ClientCredentialsAuth
        url, client_id, secret = sys.argv[1:]
        due = ClientCredentialsAuth(url, client_id, secret).authorize()
        later.seconds = 3400
        class Last:
            def __del__(self, due=due):
                print(due.get_token().access_token == due.access_token, due.authorizing)
        last = Last()
    """
    where = (server.token_endpoint, server.client_id, server.client_secret)
    assert run(program, *where).split() == ["True", "None"]
    assert len(server.token_requests) == 1


def test_c5_a_program_ends_though_its_last_finalizers_need_a_token_or_meet_a_401(server):
    program = """
        import sys, requests
        from clientcreds_requests import ClientCredentialsAuth
        url, client_id, secret, api = sys.argv[1:]
        cold = ClientCredentialsAuth(url, client_id, secret)
        refused = ClientCredentialsAuth(url, client_id, secret).authorize()
        class Last:
            def __del__(self, cold=cold, refused=refused, api=api, get=requests.get, print=print):
                for call in (cold.get_token, lambda: get(api, auth=refused)):
                    try:
                        call()
                    except Exception:
                        pass
                    print("went on")
        last = Last()
    """
    server.api_answer_next(*[Answer(401)] * 5)
    where = (server.token_endpoint, server.client_id, server.client_secret, server.api_url)
    assert run(program, *where).splitlines() == ["went on"] * 2


def test_l2_a_renewal_in_flight_does_not_keep_the_interpreter_from_exiting(server):
    program = f"""{LATER}
        import sys
        from clientcreds_requests import ClientCredentialsAuth
        url, client_id, secret = sys.argv[1:]
        auth = ClientCredentialsAuth(url, client_id, secret).authorize()
        later.seconds = 3400
        while auth.authorizing is None:
            auth.get_token()
        print(auth.authorized)
    """
    server.answer_next(None, HANG)
    where = (server.token_endpoint, server.client_id, server.client_secret)
    assert run(program, *where).split() == ["True"]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="subinterpreters have daemon threads")
def test_l2_a_token_can_be_got_in_a_subinterpreter_that_allows_no_daemon_threads(server):
    program = """
        import os, sys
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        inside = f'''if True:
            import sys
            sys.path[:] = {sys.path!r}
            from clientcreds_requests import ClientCredentialsAuth
            url, client_id, secret = {sys.argv[1:]!r}
            print(ClientCredentialsAuth(url, client_id, secret).authorize().authorized, flush=True)
        '''
        made = interpreters.create()
        failed = interpreters.run_string(made, inside)
        print(failed, flush=True)
        os._exit(0)  # 3.12 may crash when it destroys an interpreter
    """
    where = (server.token_endpoint, server.client_id, server.client_secret)
    assert run(program, *where).split() == ["True", "None"]


@needs_gunicorn
@pytest.mark.parametrize("worker", ["sync", "gthread", pytest.param("gevent", marks=needs_gevent)])
def test_c3_gunicorn_workers_preloaded_with_a_session_in_use_all_work(server, tmp_path, worker):
    (tmp_path / "service.py").write_text(
        textwrap.dedent(
            """
            import os
            from clientcreds_requests import ClientCredentialsSession
            session = ClientCredentialsSession(
                os.environ["TEST_URL"], os.environ["TEST_ID"], os.environ["TEST_SECRET"],
                base_url=os.environ["TEST_API"], renew_ahead=3000,
            )
            session.get("preloaded").raise_for_status()  # in the parent: a token and a connection

            def app(environ, start_response):
                status = session.get(f"worker/{os.getpid()}").status_code
                start_response("200 OK", [("Content-Type", "text/plain")])
                return [f"{status} {os.getpid()}".encode()]
            """
        )
    )
    command = [sys.executable, "-m", "gunicorn", "--preload", "-w", "3", "-k", worker]
    command += ["--threads", "4"] if worker == "gthread" else []
    command += ["-b", "127.0.0.1:0", "--log-level", "info", "service:app"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env={
            **os.environ,
            "TEST_URL": server.token_endpoint,
            "TEST_ID": server.client_id,
            "TEST_SECRET": server.client_secret,
            "TEST_API": server.api_url,
        },
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stderr is not None
        address = next(
            line.split("Listening at: ")[1].split()[0]
            for line in process.stderr
            if "Listening at" in line
        )
        answers = [requests.get(address, timeout=20).text.split() for _ in range(60)]
    finally:
        # Not terminated: gevent's workers, patched so late, may not end (with plain requests too).
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=20)
    assert {status for status, _ in answers} == {"200"}
    ports = {r.client_port for r in server.api_requests if r.path == "/api/preloaded"}
    assert len(ports) == 1
    assert not ports & {r.client_port for r in server.api_requests if "worker" in r.path}
