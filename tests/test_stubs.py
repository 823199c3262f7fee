"""Beside ``responses`` and ``requests-mock``, which users stub their servers with."""

from __future__ import annotations

import json

import pytest
import requests
from helpers import token_answer

from clientcreds_requests import ClientCredentialsAuth, ClientCredentialsSession, TokenError

TOKEN_ENDPOINT = "https://auth.example.com/token"
API = "https://api.example.com/data"
CLIENT = (TOKEN_ENDPOINT, "id", "secret")


class WithResponses:
    """``responses`` patches the adapters of all sessions."""

    def __init__(self, mock):
        self._mock = mock

    def add(self, method, url, status, body):
        self._mock.add(method, url, json=body, status=status)

    def calls(self):
        return [call.request for call in self._mock.calls]

    def mount(self, session):
        pass


class WithRequestsMock:
    """An adapter of ``requests-mock``, mounted as its documentation shows."""

    def __init__(self, adapter):
        self._adapter, self._answers = adapter, {}

    def add(self, method, url, status, body):
        answers = self._answers.setdefault((method, url), [])
        answers.append({"status_code": status, "json": body})
        self._adapter.register_uri(method, url, answers)

    def calls(self):
        return self._adapter.request_history

    def mount(self, session):
        session.mount("https://", self._adapter)


@pytest.fixture(params=["responses", "requests_mock"])
def stubs(request):
    """Answers by method and URL, each used once, in the manner of either library."""
    module = pytest.importorskip(request.param, reason=f"{request.param} is not installed")
    if request.param == "responses":
        with module.RequestsMock() as mock:
            yield WithResponses(mock)
    else:
        yield WithRequestsMock(module.Adapter())


@pytest.fixture(params=["auth", "session"])
def get(request, stubs):
    """Gets a URL with a token, by an auth in a plain session or through a session of ours."""
    if request.param == "session":
        session = ClientCredentialsSession(*CLIENT)
    else:
        session = requests.Session()
        session.auth = ClientCredentialsAuth(*CLIENT, session=session)
    with session:
        stubs.mount(session)
        yield session.get


def test_token_endpoint_and_api_can_be_stubbed(stubs, get):
    stubs.add("POST", TOKEN_ENDPOINT, 200, token_answer("T1"))
    stubs.add("GET", API, 200, {"a": 1})
    assert get(API).json() == {"a": 1}
    asked, called = stubs.calls()
    assert json.loads(asked.body)["client_id"] == "id"
    assert called.headers["Authorization"] == "Bearer T1"


def test_r1_a_stubbed_refusal_is_replayed(stubs, get):
    stubs.add("POST", TOKEN_ENDPOINT, 200, token_answer("T1"))
    stubs.add("POST", TOKEN_ENDPOINT, 200, token_answer("T2"))
    stubs.add("GET", API, 401, {"error": "invalid_token"})
    stubs.add("GET", API, 200, {"a": 1})
    response = get(API)
    assert response.json() == {"a": 1}
    assert [answer.status_code for answer in response.history] == [401]
    carried = [answer.request.headers["Authorization"] for answer in (*response.history, response)]
    assert carried == ["Bearer T1", "Bearer T2"]
    assert [call.url for call in stubs.calls()] == [TOKEN_ENDPOINT, API, TOKEN_ENDPOINT, API]


def test_a6_a_stubbed_error_of_the_token_endpoint_is_a_token_error(stubs, get):
    stubs.add("POST", TOKEN_ENDPOINT, 401, {"error": "invalid_client"})
    with pytest.raises(TokenError) as caught:
        get(API)
    assert (caught.value.error, caught.value.status_code) == ("invalid_client", 401)


def test_r2_a_stubbed_answer_can_be_streamed(stubs, get):
    stubs.add("POST", TOKEN_ENDPOINT, 200, token_answer("T1"))
    stubs.add("GET", API, 200, {"a": 1})
    with get(API, stream=True) as response:
        assert b"".join(response.iter_content(3)) == b'{"a": 1}'


def test_the_mocker_of_requests_mock_stubs_the_token_endpoint_too():
    requests_mock = pytest.importorskip("requests_mock", reason="requests-mock is not installed")
    nobody_listens = "https://127.0.0.1:1/token"
    auth = ClientCredentialsAuth(nobody_listens, "id", "secret", retries=0)
    with requests_mock.Mocker() as mock:
        mock.post(nobody_listens, json=token_answer("T1"))
        mock.get(API, json={"a": 1})
        assert requests.get(API, auth=auth).json() == {"a": 1}
        assert mock.last_request.headers["Authorization"] == "Bearer T1"


def test_the_fixture_of_requests_mock_stubs_the_token_endpoint(request):
    pytest.importorskip("requests_mock", reason="requests-mock is not installed")
    mock = request.getfixturevalue("requests_mock")
    mock.post(TOKEN_ENDPOINT, json=token_answer("T1"))
    mock.get(API, request_headers={"Authorization": "Bearer T1"}, json={"a": 1})
    with ClientCredentialsSession(*CLIENT) as session:
        assert session.get(API).json() == {"a": 1}
    assert [call.url for call in mock.request_history] == [TOKEN_ENDPOINT, API]


@pytest.mark.parametrize("body", ["json", "form"])
def test_w2_responses_can_match_the_parameters_of_a_token_request(body):
    responses = pytest.importorskip("responses", reason="responses is not installed")
    matchers = responses.matchers
    params = {
        "grant_type": "client_credentials",
        "client_id": "id",
        "client_secret": "secret",
        "scope": "a",
    }
    matcher = matchers.json_params_matcher if body == "json" else matchers.urlencoded_params_matcher
    carried = matchers.header_matcher({"Authorization": "Bearer T1"})
    with responses.RequestsMock() as mock:
        mock.post(TOKEN_ENDPOINT, json=token_answer("T1"), match=[matcher(params)])
        mock.get(API, json={"a": 1}, match=[carried])
        auth = ClientCredentialsAuth(*CLIENT, scope="a", body=body)
        assert requests.get(API, auth=auth).json() == {"a": 1}


def test_responses_lets_the_fixtures_server_through(authorization_server, client_credentials):
    responses = pytest.importorskip("responses", reason="responses is not installed")
    with responses.RequestsMock() as mock:
        mock.add_passthru(authorization_server.url)
        mock.add_passthru(authorization_server.api_url)
        mock.get(API, json={"a": 1})
        assert requests.get(API, auth=client_credentials).json() == {"a": 1}
        (stubbed,) = mock.calls
        assert stubbed.request.headers["Authorization"].startswith("Bearer ")
        authorization_server.revoke_all()
        assert requests.get(authorization_server.api_url, auth=client_credentials).ok
    assert len(authorization_server.token_requests) == 2


def test_requests_mock_lets_the_fixtures_server_through(
    request, authorization_server, client_credentials
):
    pytest.importorskip("requests_mock", reason="requests-mock is not installed")
    mock = request.getfixturevalue("requests_mock")
    mock.post(authorization_server.token_endpoint, real_http=True)
    mock.get(authorization_server.api_url, real_http=True)
    mock.get(API, json={"a": 1})
    assert requests.get(API, auth=client_credentials).json() == {"a": 1}
    assert requests.get(authorization_server.api_url, auth=client_credentials).ok
    assert len(authorization_server.token_requests) == 1
