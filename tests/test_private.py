"""What the core uses of other packages' private attributes: all listed, all there, few needed."""

from __future__ import annotations

import ast
import copy
import importlib
import queue
import re
import shutil
import subprocess
import sys
import threading
from http.cookiejar import CookieJar
from pathlib import Path

import pytest
import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict

import clientcreds_requests
from clientcreds_requests import _checks, auth
from clientcreds_requests._checks import PRIVATE

PACKAGE = Path(clientcreds_requests.__file__).parent
EXTRAS = {"jwt", "redis", "_sealing", "_keys", "identity"}
COMMANDS = {"cli", "cli_options", "__main__", "pytest_plugin"}
CORE = [path for path in PACKAGE.glob("*.py") if path.stem not in EXTRAS | COMMANDS]
# What every NamedTuple has, by its documentation.
DOCUMENTED = {"_asdict", "_fields", "_make", "_replace"}
LISTED = {path.rpartition(".")[2] for path in PRIVATE}


def own_names(tree):
    """The private names that a module gives to what is its own."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value  # in __slots__
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            owner = node.value
            if isinstance(owner, ast.Name) and owner.id == "self":
                yield node.attr


def test_the_core_uses_no_private_attribute_that_is_not_listed():
    trees = [ast.parse(path.read_text("utf-8")) for path in CORE]
    own = {name for tree in trees for name in own_names(tree)}
    nodes = [node for tree in trees for node in ast.walk(tree)]
    used = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    private = {name for name in used if re.match("_[^_]", name)}
    assert private - own - DOCUMENTED <= LISTED
    assert used >= LISTED


def test_each_of_them_says_whose_it_is_and_why():
    for path, reason in PRIVATE.items():
        module, owner, _ = path.rsplit(".", 2)
        assert isinstance(getattr(importlib.import_module(module), owner), type)
        assert reason


# Each of them is there, and behaves as it is used.


def test_a_field_in_the_store_of_headers_is_a_header_field():
    headers = CaseInsensitiveDict({"X": "1", "AUTHORIZATION": "other"})
    headers._store["authorization"] = ("Authorization", "value")
    assert headers == {"x": "1", "authorization": "value"}
    assert list(headers) == ["X", "Authorization"]
    assert _checks.HEADERS_HAVE_STORE is True


def test_the_content_of_a_response_is_what_it_is_set_to(server):
    response = requests.get(server.url, stream=True)
    assert response._content is False
    response._content = b"content"
    assert (response.content, response.text) == (b"content", "content")
    assert _checks.CONTENT_CAN_BE_SET is True
    response.close()


def test_a_prepared_request_has_its_cookie_jar():
    request = requests.Request("GET", "http://a.example/", cookies={"a": "1"}).prepare()
    assert request._cookies.get("a") == "1"
    assert copy.copy(request)._cookies is request._cookies


def test_a_cookie_jar_has_one_lock():
    for jar in (CookieJar(), requests.Session().cookies):
        assert isinstance(jar._cookies_lock, type(threading.RLock()))
        jar._cookies_lock = threading.RLock()
        jar.clear()


def test_the_pools_of_an_adapter_and_their_queues_have_their_locks():
    adapter = HTTPAdapter()
    pool = adapter.poolmanager.connection_from_host("127.0.0.1", 1)
    assert hasattr(adapter.poolmanager.pools, "lock")
    adapter.poolmanager.pools.lock = threading.RLock()
    assert isinstance(pool.pool, queue.LifoQueue)
    assert {"mutex", "not_empty", "not_full"} <= vars(pool.pool).keys()
    pool.pool.mutex = threading.Lock()
    pool.pool.not_empty = threading.Condition(pool.pool.mutex)
    pool.pool.not_full = threading.Condition(pool.pool.mutex)
    kept = pool.pool
    pool.close()
    assert kept.empty()


# And without them


def test_a_token_is_put_on_a_request_without_the_store_of_its_headers(monkeypatch, make_auth):
    monkeypatch.setattr(auth, "HEADERS_HAVE_STORE", False)
    made = make_auth()
    for _ in range(2):
        request = requests.Request("GET", "https://api.example/", auth=made).prepare()
        assert request.headers["Authorization"] == made.headers["Authorization"]


PROGRAM = """
import requests
from clientcreds_requests import ClientCredentialsSession, TokenError, _checks
from clientcreds_requests.testing import Answer, LocalAuthorizationServer

assert not hasattr(requests.Response(), "_content") and not hasattr(requests.Request(
    "GET", "http://a.example").prepare().headers, "_store")
assert not _checks.HEADERS_HAVE_STORE and not _checks.CONTENT_CAN_BE_SET
with LocalAuthorizationServer() as server:
    client = (server.token_endpoint, server.client_id, server.client_secret)
    with ClientCredentialsSession(*client, retries=0) as session:
        for _ in range(2):
            assert session.get(server.api_url).json()["client_id"] == server.client_id
        session.auth.signout()
        server.answer_next(Answer(400, {"error": "invalid_scope"}))
        try:
            session.auth.authorize()
        except TokenError as error:
            assert error.response.json() == {"error": "invalid_scope"}
        else:
            raise AssertionError
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the name of the folder is written otherwise")
def test_a_release_of_requests_with_other_names_for_them_works_too(tmp_path):
    shutil.copytree(Path(requests.__file__).parent, tmp_path / "requests")
    for path in (tmp_path / "requests").rglob("*.py"):
        text = path.read_text("utf-8")
        path.write_text(re.sub(r"\b_(store|content|cookies)\b", r"_another_\1", text), "utf-8")
    paths = [str(tmp_path), str(PACKAGE.parent)]
    program = f"import sys; sys.path[:0] = {paths}\n{PROGRAM}"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
