"""Tokens bound to a key (RFC 9449), at a server that checks every proof."""

from __future__ import annotations

import copy
import subprocess
import sys
import textwrap
from io import BytesIO

import pytest
import requests
from dpop_server import DPoPServer, part
from helpers import elsewhere, together, token_answer

from clientcreds_requests import ClientCredentialsAuth, ClientCredentialsSession, TokenError
from clientcreds_requests.dpop import MAX_NONCES, Prover
from clientcreds_requests.jwt import DPoPKey
from clientcreds_requests.testing import Answer


@pytest.fixture
def server():
    with DPoPServer() as server:
        yield server


@pytest.fixture(scope="module")
def key():
    return DPoPKey.generate()


@pytest.fixture
def auth(server, key):
    return ClientCredentialsAuth(*client_of(server), dpop=key)


@pytest.fixture
def session(server, key):
    base = server.api_url
    with ClientCredentialsSession(*client_of(server), dpop=key, base_url=base) as session:
        yield session


TOKEN_AND_PROOF = {"Authorization", "DPoP"}


def client_of(server):
    return server.token_endpoint, server.client_id, server.client_secret


def claims_of(recorded):
    return part(recorded.headers["DPoP"], 1)


def statuses(requests_seen):
    return [request.status for request in requests_seen]


# The token and its scheme


def test_a_bound_token_is_got_and_used_with_proofs(server, auth, key):
    assert requests.get(server.api_url, auth=auth).ok
    assert statuses(server.token_requests) == [200]
    (call,) = server.api_requests
    assert call.headers["Authorization"] == f"DPoP {auth.access_token}"
    assert server.thumbprints == {auth.access_token: key.thumbprint}
    assert auth.headers == {"Authorization": f"DPoP {auth.access_token}"}
    assert auth.get_token().token_type == "DPoP"


def test_every_request_has_a_proof_of_its_own(server, session):
    for _ in range(3):
        assert session.get("data", params={"q": "1"}).ok
    assert statuses(server.api_requests) == [200] * 3
    assert len(server.seen) == 4
    assert {claims_of(call)["htu"] for call in server.api_requests} == {f"{server.api_url}/data"}


@pytest.mark.parametrize("token_type", ["DPoP", "dpop", "DPOP", " dpop "])
def test_a2_the_type_is_dpop_in_any_case_and_sent_as_the_standard_writes_it(
    server, auth, token_type
):
    server.answer_next(Answer(200, token_answer("t", token_type=token_type)))
    assert auth.get_token().authorization == "DPoP t"


@pytest.mark.parametrize("token_type", ["Bearer", "bearer", "", None])
def test_a2_a_token_that_is_not_bound_is_refused(server, auth, token_type):
    server.answer_next(*[Answer(200, token_answer("t", token_type=token_type))] * 2)
    with pytest.raises(TokenError, match="not bound to the DPoP key"):
        requests.get(server.api_url, auth=auth)
    assert server.api_requests == []


def test_a2_a_bound_token_without_a_key_is_refused_and_never_sent_as_bearer(server):
    auth = ClientCredentialsAuth(*client_of(server))
    server.answer_next(Answer(200, token_answer("t", token_type="DPoP")))
    with pytest.raises(TokenError, match="pass dpop"):
        requests.get(server.api_url, auth=auth)
    assert server.api_requests == []


def test_a_server_that_demands_dpop_says_which_argument_is_missing(server):
    with pytest.raises(TokenError, match="pass dpop") as caught:
        ClientCredentialsAuth(*client_of(server), body="form").authorize()
    assert caught.value.error == "invalid_dpop_proof"


def test_siblings_are_bound_to_the_same_key(server, auth, key):
    sibling = auth.replace(scope="other")
    assert requests.get(server.api_url, auth=sibling).ok
    assert requests.get(server.api_url, auth=auth).ok
    assert set(server.thumbprints.values()) == {key.thumbprint}
    assert len(server.thumbprints) == 2


# Nonces


def test_the_nonce_of_the_token_endpoint_costs_one_request_once(server, auth):
    server.nonce = "as-1"
    for _ in range(2):
        auth.signout()
        auth.authorize()
    assert [(r.status, claims_of(r).get("nonce")) for r in server.token_requests] == [
        (400, None),
        (200, "as-1"),
        (200, "as-1"),
    ]


def test_the_nonce_of_the_api_costs_one_request_once_and_no_token(server, auth):
    server.api_nonce = "rs-1"
    first, second = requests.get(server.api_url, auth=auth), requests.get(server.api_url, auth=auth)
    assert (first.status_code, second.status_code) == (200, 200)
    assert [answer.status_code for answer in first.history] == [401]
    assert second.history == []
    assert [claims_of(call).get("nonce") for call in server.api_requests] == [None, "rs-1", "rs-1"]
    assert len(server.token_requests) == 1


def test_a_nonce_given_with_a_good_answer_is_the_next_one_used(server, session):
    server.api_nonce = "rs-1"
    session.get("data")

    server.api_answer_next(Answer(200, headers={"DPoP-Nonce": "rs-2"}))
    assert session.get("data").history == []
    server.api_nonce = "rs-2"
    assert session.get("data").history == []
    assert [claims_of(call).get("nonce") for call in server.api_requests][-2:] == ["rs-1", "rs-2"]


def test_the_nonces_of_both_servers_are_never_mixed_even_at_one_origin(server, auth):
    server.nonce = "as-1"
    auth.authorize()
    beside = server.token_endpoint.replace("/token", "/api")
    requests.get(beside, auth=auth)
    assert "nonce" not in claims_of(server.token_requests[-1])


def test_each_origin_has_its_nonce(server, auth, key):
    server.api_nonce = "rs-1"
    with DPoPServer() as other:
        other.api_nonce = "other-1"
        other._tokens, other.thumbprints = server._tokens, server.thumbprints
        for api in (server, other, server, other):
            assert requests.get(api.api_url, auth=auth).ok
        assert statuses(server.api_requests) == [401, 200, 200]
        assert statuses(other.api_requests) == [401, 200, 200]


@pytest.mark.parametrize(
    "nonce", [None, "", "two words", 'a"b', "a\\b", "a, b", "n" * 1025], ids=ascii
)
def test_a_demand_without_a_nonce_is_an_error_and_no_loop(server, auth, nonce):
    headers = {} if nonce is None else {"DPoP-Nonce": nonce}
    refusal = Answer(400, {"error": "use_dpop_nonce"}, headers)
    server.answer_next(refusal, refusal, refusal)
    with pytest.raises(TokenError) as caught:
        ClientCredentialsAuth(*client_of(server), body="form", dpop=DPoPKey.generate()).authorize()
    assert caught.value.error == "use_dpop_nonce"
    assert len(server.token_requests) == 1


def test_two_nonces_at_once_are_none(server):
    pairs = [("DPoP-Nonce", "one"), ("DPoP-Nonce", "two")]
    server.answer_next(Answer(400, {"error": "use_dpop_nonce"}, pairs))
    with pytest.raises(TokenError):
        ClientCredentialsAuth(*client_of(server), body="form", dpop=DPoPKey.generate()).authorize()
    assert len(server.token_requests) == 1


def test_a_token_endpoint_that_demands_nonces_without_end_is_asked_twice(server):
    refusal = Answer(400, {"error": "use_dpop_nonce"}, {"DPoP-Nonce": "n"})
    server.answer_next(*[refusal] * 5)
    with pytest.raises(TokenError) as caught:
        ClientCredentialsAuth(*client_of(server), body="form", dpop=DPoPKey.generate()).authorize()
    assert caught.value.error == "use_dpop_nonce"
    assert len(server.token_requests) == 2


@pytest.mark.parametrize(("error", "asked"), [("use_dpop_nonce", 2), ("invalid_scope", 1)])
def test_a_new_nonce_is_a_reason_to_ask_once_more_if_it_was_demanded(server, error, asked):
    for number in range(5):
        server.answer_next(Answer(400, {"error": error}, {"DPoP-Nonce": f"n{number}"}))
    with pytest.raises(TokenError, match=error):
        ClientCredentialsAuth(*client_of(server), body="form", dpop=DPoPKey.generate()).authorize()
    assert len(server.token_requests) == asked


@pytest.mark.parametrize(("change", "calls"), [(False, 2), (True, 4)])
def test_an_api_that_demands_nonces_without_end_has_its_401_returned(server, auth, change, calls):
    for number in range(9):
        nonce = f"n{number if change else 0}"
        challenge = {"WWW-Authenticate": 'DPoP error="use_dpop_nonce"', "DPoP-Nonce": nonce}
        server.api_answer_next(Answer(401, headers=challenge))
    response = requests.get(server.api_url, auth=auth)
    assert response.status_code == 401
    assert len(response.history) == calls - 1
    assert len(server.api_requests) == calls
    assert len(server.token_requests) == 1


def test_an_api_that_demands_a_nonce_but_gives_none_has_its_401_returned(server, auth):
    server.api_answer_next(Answer(401, headers={"WWW-Authenticate": 'DPoP error="use_dpop_nonce"'}))
    assert requests.get(server.api_url, auth=auth).status_code == 401
    assert len(server.api_requests) == len(server.token_requests) == 1


def test_in_json_the_nonce_is_given_too(server):
    server.nonce = "as-1"
    auth = ClientCredentialsAuth(*client_of(server), body="json", dpop=DPoPKey.generate())
    assert auth.authorize().authorized
    assert statuses(server.token_requests) == [400, 200]


def test_only_the_nonces_of_the_latest_origins_are_kept(key):
    prover = Prover(key)
    for number in range(MAX_NONCES + 10):
        response = requests.Response()
        response.url = f"https://h{number}/"
        response.headers["DPoP-Nonce"] = f"n{number}"
        assert prover.learn(response)
        assert prover.learn(response)
    assert len(prover._nonces) == MAX_NONCES
    claims = []
    for number in (MAX_NONCES + 9, 10, 9):
        headers = {}
        prover.sign("GET", f"https://h{number}/x", headers)
        claims.append(part(headers["DPoP"], 1))
    assert [claim.get("nonce") for claim in claims] == ["n73", "n10", None]


# Attempts and replays


def test_every_attempt_at_the_token_endpoint_has_a_proof_of_its_own(server, auth, clock):
    server.answer_next(Answer(503), Answer(503))
    auth.authorize()
    sent = [claims_of(request)["jti"] for request in server.token_requests]
    assert len(set(sent)) == 3


def test_r1_a_revoked_token_is_replaced_with_a_fresh_proof_for_the_new_one(server, auth):
    auth.authorize()
    server.revoke_all()
    response = requests.post(server.api_url, auth=auth, data=b"body")
    assert response.status_code == 200
    assert response.json()["body_length"] == 4
    assert len(response.history) == 1
    assert [call.token_state for call in server.api_requests] == ["revoked", "valid"]
    assert len({claims_of(call)["ath"] for call in server.api_requests}) == 2


def test_r1_a_revoked_token_and_a_nonce_are_both_mended(server, auth):
    auth.authorize()
    server.revoke_all()
    server.nonce, server.api_nonce = "as-1", "rs-1"
    refuse_nonce = {"WWW-Authenticate": 'DPoP error="use_dpop_nonce"', "DPoP-Nonce": "rs-0"}
    server.api_answer_next(Answer(401, headers=refuse_nonce))
    body = BytesIO(b"skipped body")
    body.seek(8)
    response = requests.post(server.api_url, auth=auth, data=body)
    assert response.json()["body_length"] == 4
    # A nonce, a new token, and the nonce that came with the refusal of the old one.
    assert statuses(server.api_requests) == [401, 401, 200]
    assert len(response.history) == 2
    assert statuses(server.token_requests) == [200, 400, 200]


def test_r1_a_new_token_may_be_asked_for_its_nonce(server, auth):
    auth.authorize()
    refuse_token = {"WWW-Authenticate": 'DPoP error="invalid_token"'}
    refuse_nonce = {"WWW-Authenticate": 'DPoP error="use_dpop_nonce"', "DPoP-Nonce": "rs-1"}
    server.api_answer_next(
        Answer(401, headers=refuse_token), Answer(401, headers=refuse_nonce), None
    )
    response = requests.get(server.api_url, auth=auth)
    assert response.status_code == 200
    assert len(response.history) == 2
    assert claims_of(server.api_requests[-1])["nonce"] == "rs-1"
    assert len(server.token_requests) == 2


@pytest.mark.parametrize(
    ("challenge", "tokens"),
    [
        ('DPoP error="invalid_token"', 2),
        ('DPoP algs="ES256"', 2),
        ("dpop", 2),
        ('Bearer realm="api", DPoP error="invalid_token"', 2),
        (None, 2),
        ('Bearer error="invalid_token"', 1),
        ('DPoP error="insufficient_scope"', 1),
        ('Basic realm="x"', 1),
    ],
)
def test_r1_only_a_challenge_to_dpop_is_about_a_bound_token(server, auth, challenge, tokens):
    headers = {} if challenge is None else {"WWW-Authenticate": challenge}
    server.api_answer_next(Answer(401, headers=headers))
    response = requests.get(server.api_url, auth=auth)
    assert (response.status_code == 200) == (tokens == 2)
    assert len(server.token_requests) == tokens


def test_r1_a_challenge_to_dpop_alone_is_not_about_a_bearer_token(make_bearer, server):
    refusal = {"WWW-Authenticate": 'DPoP error="invalid_token"'}
    server.api_answer_next(Answer(401, headers=refusal))
    assert requests.get(server.api_url, auth=make_bearer).status_code == 401
    assert len(server.api_requests) == 1


@pytest.fixture
def make_bearer(server):
    server.answer_next(Answer(200, token_answer("bearer-token")))
    return ClientCredentialsAuth(*client_of(server)).authorize()


def test_a_proof_that_served_before_is_replaced_when_a_request_is_sent_again(server, auth):
    with requests.Session() as plain:
        prepared = requests.Request("GET", server.api_url, auth=auth).prepare()
        assert [plain.send(prepared).status_code for _ in range(3)] == [200] * 3
    assert len(server.token_requests) == 1


def test_threads_that_send_one_prepared_request_have_their_own_proofs(server, auth):
    prepared = requests.Request("GET", server.api_url, auth=auth).prepare()

    def send():
        with requests.Session() as plain:
            return plain.send(prepared).status_code

    assert together(16, send) == [200] * 16


def test_r2_a_body_that_cannot_be_sent_again_has_its_401_returned(server, auth):
    server.api_nonce = "rs-1"
    response = requests.post(server.api_url, auth=auth, data=iter([b"once"]))
    assert response.status_code == 401
    assert len(server.api_requests) == 1
    assert requests.post(server.api_url, auth=auth, data=iter([b"once"])).ok  # with the nonce


def test_threads_share_the_token_and_have_their_own_proofs(server, auth):
    server.api_nonce = "rs-1"
    responses = together(16, lambda: requests.get(server.api_url, auth=auth).status_code)
    assert responses == [200] * 16
    assert len(server.token_requests) == 1


# Redirects


def test_a_redirect_within_the_origin_gets_a_proof_for_where_it_leads(server, session):
    server.api_answer_next(Answer(307, headers={"Location": f"{server.api_url}/there"}))
    assert session.post("here", data=b"x").status_code == 200
    assert [claims_of(call)["htu"] for call in server.api_requests] == [
        f"{server.api_url}/here",
        f"{server.api_url}/there",
    ]


def test_a_see_other_gets_a_proof_for_its_method(server, session):
    server.api_answer_next(Answer(303, headers={"Location": f"{server.api_url}/there"}))
    assert session.post("here", data=b"x").status_code == 200
    assert claims_of(server.api_requests[-1])["htm"] == "GET"


def test_without_a_session_of_ours_the_old_proof_is_refused_and_replaced(server, auth):
    server.api_answer_next(Answer(302, headers={"Location": f"{server.api_url}/there"}))
    assert requests.get(f"{server.api_url}/here", auth=auth).status_code == 200
    assert statuses(server.api_requests) == [302, 401, 200]


def test_r5_a_redirect_to_another_origin_carries_neither_token_nor_proof(server, session):
    server.api_answer_next(Answer(302, headers={"Location": elsewhere(server.api_url)}))
    assert session.get("data").status_code == 401
    call = server.api_requests[-1]
    assert TOKEN_AND_PROOF.isdisjoint(call.headers)


def test_r5_a_request_made_by_hand_takes_no_proof_to_another_origin_either(server, session, key):
    token = session.auth.get_token()
    request = requests.Request("GET", server.api_url).prepare()
    request.headers["Authorization"] = token.authorization
    request.headers["DPoP"] = key.proof("GET", server.api_url, access_token=token.access_token)
    server.api_answer_next(Answer(302, headers={"Location": elsewhere(server.api_url)}))
    assert session.send(request).status_code == 401
    first, second = (call.headers for call in server.api_requests)
    assert set(first) >= TOKEN_AND_PROOF
    assert TOKEN_AND_PROOF.isdisjoint(second)


@pytest.mark.parametrize("status", [302, 303, 307])
def test_r5_plain_requests_takes_no_proof_to_another_origin_either(server, auth, status):
    server.api_answer_next(Answer(status, headers={"Location": elsewhere(server.api_url)}))
    assert requests.get(server.api_url, auth=auth).status_code == 401
    assert TOKEN_AND_PROOF.isdisjoint(server.api_requests[-1].headers)


def test_r5_a_redirect_to_what_is_no_url_takes_no_proof_along(server, auth):
    response = requests.get(server.api_url, auth=auth)
    response.status_code, response.headers["Location"] = 302, "http://[::"
    request = response.request  # from which requests would go on
    (hook,) = request.hooks["response"]
    assert hook(response) is response
    assert "DPoP" not in request.headers
    assert "DPoP" in response.request.headers  # what was sent


@pytest.mark.parametrize("own", [False, True], ids=["requests", "ClientCredentialsSession"])
def test_r5_a_redirect_after_a_replay_carries_neither_token_nor_proof(server, auth, session, own):
    refusal = Answer(401, headers={"WWW-Authenticate": 'DPoP error="invalid_token"'})
    away = Answer(302, headers={"Location": elsewhere(server.api_url)})
    server.api_answer_next(refusal, away)
    if own:
        assert session.get(server.api_url).status_code == 401
    else:
        assert requests.get(server.api_url, auth=auth).status_code == 401
    first, second, third = (set(call.headers) & TOKEN_AND_PROOF for call in server.api_requests)
    assert (first, second, third) == (TOKEN_AND_PROOF, TOKEN_AND_PROOF, set())


def test_a_prepared_request_that_was_redirected_elsewhere_can_be_sent_again(server, auth):
    server.api_answer_next(Answer(302, headers={"Location": elsewhere(server.api_url)}))
    prepared = requests.Request("GET", server.api_url, auth=auth).prepare()
    with requests.Session() as plain:
        answers = [plain.send(prepared), plain.send(prepared)]
    assert [answer.status_code for answer in answers] == [401, 200]
    assert len(server.token_requests) == 1


def test_r5_a_request_signed_again_for_another_origin_loses_token_proof_and_hook(server, key):
    api = server.api_url.removesuffix("/api")
    auth = ClientCredentialsAuth(*client_of(server), dpop=key, allowed_origins=[api])
    request = requests.Request("GET", server.api_url, auth=auth).prepare()
    assert set(request.headers) >= TOKEN_AND_PROOF
    request.url = elsewhere(server.api_url)
    auth(request)
    assert set(request.headers).isdisjoint(TOKEN_AND_PROOF)
    assert request.hooks == {"response": []}


def test_r5_a_session_takes_the_proof_off_a_request_whose_url_was_changed(server, session):
    request = session.prepare_request(requests.Request("GET", "data"))
    request.url = elsewhere(server.api_url)
    assert session.send(request).status_code == 401
    assert set(server.api_requests[0].headers).isdisjoint(TOKEN_AND_PROOF)


def test_r5_a_request_whose_url_was_changed_gets_no_other_proof(server, key):
    api = server.api_url.removesuffix("/api")
    auth = ClientCredentialsAuth(*client_of(server), dpop=key, allowed_origins=[api])
    request = requests.Request("GET", server.api_url, auth=auth).prepare()
    request.url = elsewhere(server.api_url)
    challenge = {"WWW-Authenticate": 'DPoP error="use_dpop_nonce"', "DPoP-Nonce": "n"}
    server.api_answer_next(Answer(401, headers=challenge))
    with requests.Session() as plain:
        assert plain.send(request).status_code == 401
    assert len(server.api_requests) == 1


def test_r1_the_proof_of_an_auth_goes_when_another_one_signs(server, auth):
    request = requests.Request("GET", server.api_url, auth=auth).prepare()
    server.answer_next(Answer(200, token_answer("bearer-token")))
    ClientCredentialsAuth(*client_of(server))(request)
    assert request.headers["Authorization"] == "Bearer bearer-token"
    assert "DPoP" not in request.headers
    assert len(request.hooks["response"]) == 1


def test_r1_of_two_keys_the_last_one_proves(server, auth):
    request = requests.Request("GET", server.api_url, auth=auth).prepare()
    other = ClientCredentialsAuth(*client_of(server), dpop=DPoPKey.generate())
    other(request)
    server.revoke_all()
    with requests.Session() as plain:
        assert plain.send(request).ok
    assert len(server.token_requests) == 3
    assert server.api_requests[-1].headers["Authorization"] == f"DPoP {other.access_token}"


def test_r4_without_a_new_token_the_401_in_the_context_has_neither_token_nor_proof(server, auth):
    auth.authorize()
    server.revoke_all()
    server.answer_next(Answer(401, {"error": "invalid_client"}))
    with pytest.raises(TokenError) as caught:
        requests.get(server.api_url, auth=auth)
    refused = caught.value.__context__.response
    assert refused.status_code == 401
    assert set(refused.request.headers).isdisjoint(TOKEN_AND_PROOF)


def test_r5_an_origin_that_is_not_allowed_gets_no_proof(server, key):
    auth = ClientCredentialsAuth(
        *client_of(server), dpop=key, allowed_origins=["https://api.example.com"]
    )
    assert requests.get(server.api_url, auth=auth).status_code == 401
    assert TOKEN_AND_PROOF.isdisjoint(server.api_requests[0].headers)


# Bad input, copies


@pytest.mark.parametrize("wrong", ["key", 5, DPoPKey], ids=str)
def test_w8_what_is_no_key_is_refused(server, wrong):
    for make in (ClientCredentialsAuth, ClientCredentialsSession):
        with pytest.raises(TypeError, match="dpop must be a key"):
            make(*client_of(server), dpop=wrong)


class Broken:
    thumbprint = "t"

    def __init__(self, outcome):
        self.outcome = outcome

    def proof(self, method, url, *, access_token=None, nonce=None):
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@pytest.mark.parametrize("outcome", [OSError("the HSM is gone"), "a\r\nb", 5, None], ids=repr)
def test_a1_a_key_that_fails_is_a_token_error_that_says_so(server, outcome):
    auth = ClientCredentialsAuth(*client_of(server), dpop=Broken(outcome))
    with pytest.raises(TokenError, match="the dpop key raised"):
        auth.authorize()
    assert server.token_requests == []


class Failing:
    """A key of the user's own, which stops working."""

    def __init__(self, key):
        self._key, self.failure = key, None

    @property
    def thumbprint(self):
        return self._key.thumbprint

    def proof(self, *args, **options):
        if self.failure is not None:
            raise self.failure
        return self._key.proof(*args, **options)


def test_f4_a_key_that_fails_at_the_api_is_a_token_error_too(server, key):
    failing = Failing(key)
    auth = ClientCredentialsAuth(*client_of(server), dpop=failing).authorize()
    failing.failure = OSError("the HSM is gone")
    with pytest.raises(
        TokenError, match=r"no DPoP proof for http.*the dpop key raised OSError"
    ) as caught:
        requests.get(f"{server.api_url}?key=of-the-api", auth=auth)
    assert server.api_requests == []
    assert str(caught.value.__cause__) == "the HSM is gone"


def test_s1_a_server_that_repeats_the_proof_is_not_quoted(server, key):
    def repeat(request):
        said = f"you sent {request.headers['DPoP']} and {request.headers['X-Key']}"
        return Answer(400, {"error": "invalid_request", "error_description": said})

    server.answer_next(repeat)
    auth = ClientCredentialsAuth(
        *client_of(server), dpop=key, body="form", extra_headers={"X-Key": "an-api-key"}
    )
    with pytest.raises(TokenError) as caught:
        auth.authorize()
    assert caught.value.error_description == "you sent [redacted] and [redacted]"


def test_s2_an_auth_with_a_dpop_key_is_neither_copied_nor_pickled_deeply(server, key):
    secret = server.client_secret
    auth = ClientCredentialsAuth(server.token_endpoint, server.client_id, lambda: secret, dpop=key)
    with pytest.raises(TypeError, match="DPoPKey is neither pickled nor copied"):
        copy.deepcopy(auth)
    assert requests.get(server.api_url, auth=copy.copy(auth)).ok  # the same key, another token


# What it imports


def test_dpop_is_imported_when_it_is_asked_for_and_a_key_of_ones_own_needs_no_extra(server):
    program = """
        import sys
        sys.modules["jwt"] = sys.modules["cryptography"] = None  # they cannot be imported
        import requests
        from clientcreds_requests import ClientCredentialsAuth, ClientCredentialsSession

        class Key:
            thumbprint = "of-a-key"

            def proof(self, method, url, *, access_token=None, nonce=None):
                return f"{method}.{access_token}.{nonce}"

        endpoint, api = sys.argv[1:]
        ClientCredentialsSession(endpoint, "id", "secret", base_url=api)
        ClientCredentialsAuth.from_issuer("https://issuer.example", "id", "secret")
        print("clientcreds_requests.dpop" in sys.modules)
        auth = ClientCredentialsAuth(endpoint, "id", "secret", body="form", dpop=Key())
        print(requests.get(api, auth=auth).status_code)
        print(*(f"clientcreds_requests.{name}" in sys.modules for name in ("dpop", "_keys")))
    """
    challenge = {"WWW-Authenticate": 'DPoP error="use_dpop_nonce"', "DPoP-Nonce": "n"}
    server.answer_next(Answer(200, token_answer("a-token", token_type="DPoP")))
    server.api_answer_next(Answer(401, headers=challenge), Answer(200, {}))
    output = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), server.token_endpoint, server.api_url],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert output.split() == ["False", "200", "True", "False"]
    sent = [request.headers["DPoP"] for request in (*server.token_requests, *server.api_requests)]
    assert sent == ["POST.None.None", "GET.a-token.None", "GET.a-token.n"]
