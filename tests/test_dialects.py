"""What token endpoints of real providers answer, which 0.1.0 did not understand.

By public names alone.
"""

from __future__ import annotations

import base64
import html
import json
import ssl
import time
from email.utils import formatdate
from typing import Any

import pytest
import requests
import trustme
from dpop_server import part
from helpers import token_answer
from raw_server import Tunnel

from clientcreds_requests import (
    ClientAssertion,
    ClientCredentialsAuth,
    ClientSecretJWT,
    TokenError,
)
from clientcreds_requests.jwt import DPoPKey, PrivateKeyJWT
from clientcreds_requests.testing import Answer, LocalAuthorizationServer

JSON, FORM = "application/json", "application/x-www-form-urlencoded"
HTML = {"Content-Type": "text/html"}
ISSUER = "https://issuer.example"
SECRET_HINT = "check client_id, client_secret and client_auth"


def bodies(server: LocalAuthorizationServer) -> list[str]:
    return [request.headers["Content-Type"] for request in server.token_requests]


def failure(server, make_auth, *answers: Answer, **options: Any) -> TokenError:
    """The error of an auth whose token endpoint gives these answers, the last one repeated."""
    server.answer_next(*answers, *[answers[-1]] * 2)
    with pytest.raises(TokenError) as caught:
        make_auth(**{"retries": 0, **options}).get_token()
    return caught.value


# B1, B2: endpoints that do not read JSON

UNREAD = {
    "Django: the client is authenticated first": Answer(400, {"error": "invalid_client"}),
    "a bare 401": Answer(401),
    "Spring: its login page": Answer(302, headers={"Location": "/login"}),
    "a gateway's HTML": Answer(403, "<html>Forbidden</html>", headers=HTML),
}


@pytest.mark.parametrize("answer", UNREAD.values(), ids=UNREAD)
def test_w2_three_arguments_are_enough_for_an_endpoint_that_reads_forms_alone(
    server, make_auth, answer
):
    server.answer_next(answer)
    auth = make_auth()
    assert requests.get(server.api_url, auth=auth).ok
    auth.signout()
    assert requests.get(server.api_url, auth=auth).ok
    assert bodies(server) == [JSON, FORM, FORM]


def test_w2_a_page_in_answer_to_both_bodies_leads_to_an_error_that_names_body(server, make_auth):
    error = failure(server, make_auth, UNREAD["a gateway's HTML"])
    assert (error.status_code, bodies(server)) == (403, [JSON, FORM])
    assert "body=" in str(error)
    assert SECRET_HINT in str(error)


@pytest.mark.parametrize("status", [400, 403])
def test_w2_two_answers_without_a_reason_lead_to_a_hint_at_the_client(server, make_auth, status):
    error = failure(server, make_auth, Answer(status))
    assert f"no reason was given: {SECRET_HINT}" in str(error)


def test_w2_a_500_to_json_leads_to_both_bodies_again(server, make_auth):
    server.answer_next(Answer(500), Answer(415))
    auth = make_auth(retries=0)
    with pytest.raises(TokenError):
        auth.get_token()
    assert auth.get_token().access_token
    assert bodies(server) == [JSON, FORM, JSON]


def test_w2_the_failure_of_a_sibling_leads_no_other_to_one_body(server, make_auth):
    sibling = make_auth(retries=0)
    auth = sibling.replace(scope="other")
    server.answer_next(Answer(401, {"error": "invalid_client"}), Answer(400))
    with pytest.raises(TokenError):
        sibling.get_token()
    server.answer_next(Answer(401, {"error": "invalid_client"}))
    assert auth.get_token().access_token
    assert bodies(server) == [JSON, FORM, JSON, FORM]
    assert sibling.get_token().access_token  # what worked comes before what failed
    assert bodies(server)[-1] == FORM


@pytest.mark.parametrize("code", ["INVALID_CLIENT", "Access_Denied"])
def test_w4_a_code_in_capitals_rejects_the_client_too(server, make_auth, code):
    secrets = ["the-old-one", server.client_secret]
    server.answer_next(Answer(400, {"error": code}))
    make_auth(client_secret=lambda: secrets.pop(0), body="form").authorize()
    assert secrets == []


@pytest.mark.parametrize("content", [b"no gzip", b"x" * 2_000_000])
def test_f1_a_status_counts_though_its_body_cannot_be_read(server, make_auth, clock, content):
    coding = {"Content-Encoding": "gzip"} if len(content) < 100 else {}
    server.answer_next(Answer(503, content, headers=coding))
    auth = make_auth(body="form", retries=1)
    assert auth.get_token().access_token
    wait = {**coding, "Retry-After": "60"}
    server.answer_next(Answer(429, content, headers=wait))
    auth.signout()
    with pytest.raises(TokenError) as caught:
        auth.get_token()
    assert (caught.value.status_code, caught.value.retry_after) == (429, 60)


# B3: hints that fit status and code

HINTS = [
    (401, "access_denied", SECRET_HINT),
    (401, "unauthorized_client", SECRET_HINT),
    (401, "server_error", SECRET_HINT),
    (400, "invalid_client", SECRET_HINT),
    (403, "access_denied", "check audience and scope"),
    (400, "unauthorized_client", "does not let this client use this grant_type"),
    (401, "invalid_scope", "check scope"),
    (400, "scope_invalid", "check scope"),
    (400, "invalid_target", "check resources and audience"),
    (404, None, "check the URL of the token endpoint"),
    (405, None, "check the URL of the token endpoint"),
]


@pytest.mark.parametrize(("status", "code", "hint"), HINTS)
def test_a6_the_hint_fits_status_and_code(server, make_auth, status, code, hint):
    error = failure(server, make_auth, Answer(status, {"error": code} if code else b""))
    assert f"({hint})" in str(error) or f": {hint})" in str(error) or f" {hint})" in str(error)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"error": "unsupported_grant_type", "error_description": "not client_credentials"}),
        (401, {"error": "unsupported_grant_type"}),
        (
            400,
            {"error": "invalid_request", "message": "no grant_type client_credentials"},
        ),
        (401, {"error": "invalid_request", "error_description": "missing parameter: audience"}),
        (429, {"message": "rate limit of this client_id exceeded"}),
        (503, {"message": "client authentication is down"}),
        (401, {"error": "temporarily_unavailable", "error_description": "try again later"}),
    ],
)
def test_a6_no_hint_contradicts_the_server(server, make_auth, status, body):
    assert SECRET_HINT not in str(failure(server, make_auth, Answer(status, body)))


@pytest.mark.parametrize(
    "words",
    [
        "Client not enabled to retrieve service account",  # Keycloak
        "Public client not allowed to retrieve service account",
        "The client credentials grant is not enabled for this client",
    ],
)
@pytest.mark.parametrize("status", [400, 401])
def test_a6_a_grant_that_the_client_may_not_use_is_no_wrong_secret(
    server, make_auth, status, words
):
    body = {"error": "unauthorized_client", "error_description": words}
    text = str(failure(server, make_auth, Answer(status, body)))
    assert "does not let this client use this grant_type" in text
    assert SECRET_HINT not in text


def test_a6_a_code_that_is_the_description_too_is_a_code(server, make_auth):
    body = {"error": "invalid_scope", "error_description": "invalid_scope"}
    error = failure(server, make_auth, Answer(400, body))
    assert (error.error, error.error_description) == ("invalid_scope", "invalid_scope")
    assert str(error).count("invalid_scope") == 1


SECRET_TEXTS = {
    "a token": "the access_token is abc",
    "data": "access%5Ftoken=abc",
    "a page": "<p>Forbidden</p>",
    "a long word": "abcdefghijklmnopqrstuvwxyz0123456789 is wrong",
    "two lines": "Forbidden\nabc",
    "much": "no " * 100,
}


@pytest.mark.parametrize("text", SECRET_TEXTS.values(), ids=SECRET_TEXTS)
def test_a6_of_text_only_a_sentence_is_quoted(server, make_auth, text):
    answer = Answer(403, text, headers={"Content-Type": "text/plain"})
    error = failure(server, make_auth, answer)
    assert error.error_description is None


@pytest.mark.parametrize(("status", "quoted"), [(200, None), (399, None), (400, "Closed today")])
def test_a6_text_is_quoted_of_an_error_alone(server, make_auth, status, quoted):
    answer = Answer(status, "Closed today", headers={"Content-Type": "text/plain"})
    assert failure(server, make_auth, answer).error_description == quoted


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le"])
def test_s1_a_secret_in_text_of_two_bytes_a_character_is_redacted(server, make_auth, encoding):
    body = "s3cr3t/value is wrong".encode(encoding)
    answer = Answer(403, body, headers={"Content-Type": "text/plain"})
    error = failure(server, make_auth, answer, client_secret="s3cr3t/value")
    assert error.error_description == "[redacted] is wrong"


@pytest.mark.parametrize("invisible", ["\u200b", "\u00ad", "\0"])
def test_s1_a_secret_with_invisible_characters_in_it_is_redacted(server, make_auth, invisible):
    secret = invisible.join(server.client_secret)
    error = failure(server, make_auth, Answer(400, {"error": "a", "error_description": secret}))
    assert error.error_description == "[redacted]"


def test_s1_a_secret_that_is_escaped_twice_is_redacted_in_the_response(server, make_auth):
    secret = "a/secret&of<mine>"
    twice = json.dumps({"error": "a", "error_description": html.escape(json.dumps(secret))})
    error = failure(server, make_auth, Answer(400, twice), client_secret=secret)
    seen = error.response.text
    assert secret not in html.unescape(seen)
    assert "secret&amp;of" not in seen


def test_s1_the_secret_behind_an_assertion_is_redacted(server, make_auth):
    secret = "a-secret-of-32-characters-or-more"
    body = {"error": "invalid_client", "error_description": f"HMAC with {secret} differs"}
    method = ClientSecretJWT(secret, ISSUER)
    error = failure(server, make_auth, Answer(400, body), client_auth=method)
    assert error.error_description == "HMAC with [redacted] differs"


def test_s1_the_password_of_a_proxy_is_not_in_the_error():
    with requests.Session() as session:
        session.proxies["https"] = "http://user:pa55word@127.0.0.1:99999"
        auth = ClientCredentialsAuth("https://as.example/", "a", "a-secret", session=session)
        with pytest.raises(TokenError) as caught:
            auth.get_token()
    assert "pa55word" not in str(caught.value)


ENTRA = {
    "AADSTS7000215: Invalid client secret provided.": "client_secret",
    "AADSTS7000222: The provided client secret keys for app 'x' are expired.": "client_secret",
    "AADSTS700016: Application with identifier 'x' was not found.": "client_id",
    "AADSTS90002: Tenant 'x' not found.": "tenant in the URL",
    "AADSTS1002012: The provided value for scope x is not valid.": "scope",
    "AADSTS500011: The resource principal named x was not found.": "scope",
}


@pytest.mark.parametrize(("words", "argument"), ENTRA.items(), ids=lambda text: text[:14])
def test_a6_the_codes_in_entra_ids_words_lead_to_the_argument(server, make_auth, words, argument):
    body = {"error": "invalid_request", "error_description": words}
    hint = str(failure(server, make_auth, Answer(400, body))).partition("(")[2]
    assert argument in hint


# B4: a resource that is no URI


def test_w1_a_resource_that_is_no_uri_is_an_extra_parameter(server, make_auth):
    resource = "00000003-0000-0ff1-ce00-000000000000/contoso.sharepoint.com@tenant"
    make_auth(extra_params={"resource": resource}).authorize()
    assert server.token_requests[0].params["resource"] == resource


def test_w8_a_resource_in_two_places_is_refused(make_auth):
    with pytest.raises(ValueError, match="resources or extra_params"):
        make_auth(resources=["https://api.example"], extra_params={"resource": "a"})


def test_w1_another_grant_type_is_an_extra_parameter(server, make_auth):
    server.answer_next(Answer(200, token_answer("t")))
    make_auth(extra_params={"grant_type": "account_credentials"}).authorize()
    assert server.token_requests[0].params["grant_type"] == "account_credentials"


# B5: assertions


@pytest.fixture(scope="module")
def pem() -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    key = generate_private_key(SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.fixture(params=["client_secret_jwt", "private_key_jwt", "ClientAssertion"])
def asserting(request, pem):
    """Makes a client authentication method with an assertion."""

    def make(**options: Any) -> Any:
        if request.param == "client_secret_jwt":
            return ClientSecretJWT("a-secret-of-32-characters-or-more", ISSUER, **options)
        if request.param == "private_key_jwt":
            return PrivateKeyJWT(pem, ISSUER, **options)
        options.pop("headers", None)
        return ClientAssertion(unsigned, ISSUER, **options)

    def unsigned(claims: Any) -> str:
        header = {"typ": "JWT", "alg": "none"}
        segments = [base64.urlsafe_b64encode(json.dumps(s).encode()) for s in (header, claims)]
        return b".".join(s.rstrip(b"=") for s in segments).decode() + "."

    return make


def test_headers_claims_and_lifetime_of_an_assertion_can_be_set(server, make_auth, asserting):
    method = asserting(headers={"typ": "JWT"}, claims={"tenant": "a", "aud": [ISSUER]}, lifetime=30)
    server.answer_next(Answer(200, token_answer("t")))
    make_auth(client_auth=method).authorize()
    assertion = server.token_requests[0].params["client_assertion"]
    claims = part(assertion, 1)
    assert part(assertion, 0)["typ"] == "JWT"
    assert (claims["tenant"], claims["aud"]) == ("a", [ISSUER])
    assert claims["exp"] - claims["iat"] == 30


@pytest.mark.parametrize(
    ("options", "error", "named"),
    [
        ({"claims": [("a", 1)]}, TypeError, "claims"),
        ({"claims": {1: "a"}}, TypeError, "claims"),
        ({"claims": {"a": object()}}, ValueError, "claims"),
        ({"claims": {"a": float("nan")}}, ValueError, "claims"),
        ({"lifetime": 0}, ValueError, "lifetime"),
        ({"lifetime": "60"}, TypeError, "lifetime"),
    ],
)
def test_w8_what_no_assertion_can_have_is_refused_by_name(asserting, options, error, named):
    with pytest.raises(error, match=rf"\b{named}\b"):
        asserting(**options)


def test_w8_the_algorithm_is_no_header_to_set():
    with pytest.raises(ValueError, match="alg"):
        ClientSecretJWT("a-secret-of-32-characters-or-more", ISSUER, headers={"alg": "none"})


@pytest.mark.parametrize("status", [400, 401])
@pytest.mark.parametrize(
    ("ahead", "clock"),
    [(0, "and clock"), (300, "300 s ahead of"), (-300, "300 s behind"), (30, "and clock")],
)
def test_a6_the_hint_after_a_rejected_assertion_is_about_the_assertion(
    server, make_auth, asserting, status, ahead, clock
):
    date = formatdate(time.time() + ahead + 0.5, usegmt=True)
    answer = Answer(status, {"error": "invalid_client"}, headers={"Date": date})
    text = str(failure(server, make_auth, answer, client_auth=asserting()))
    hint = text.replace("299 s", "300 s").replace("301 s", "300 s").partition("(")[2]
    for named in ("audience", "kid", "typ", clock):
        assert named in hint
    assert "client_secret" not in hint


@pytest.mark.parametrize(
    ("ahead", "words"), [(60, " and clock"), (61, "61 s ahead of"), (-61, "61 s behind")]
)
def test_a6_a_minute_is_no_difference_between_clocks(server, make_auth, clock, ahead, words):
    date = formatdate(clock.wall + ahead, usegmt=True)
    answer = Answer(401, {"error": "invalid_client"}, headers={"Date": date})
    method = ClientSecretJWT("a-secret-of-32-characters-or-more", ISSUER)
    text = str(failure(server, make_auth, answer, client_auth=method))
    assert words in text
    assert ("the server's is" in text) is (abs(ahead) > 60)


# B6: nonces


def test_f1_the_nonce_of_every_answer_is_learned(server, make_auth):
    server.answer_next(
        Answer(401, {"error": "use_dpop_nonce"}, headers={"DPoP-Nonce": "N1"}),
        Answer(429, headers={"DPoP-Nonce": "N2"}),
        Answer(200, token_answer("t", token_type="DPoP")),
    )
    make_auth(dpop=DPoPKey.generate()).authorize()
    proofs = [part(request.headers["DPoP"], 1) for request in server.token_requests]
    assert [proof.get("nonce") for proof in proofs] == [None, "N1", "N2"]


def test_a6_the_hint_does_not_ask_for_a_key_that_was_passed(server, make_auth):
    refusal = Answer(400, {"error": "invalid_dpop_proof"})
    text = str(failure(server, make_auth, refusal, dpop=DPoPKey.generate()))
    assert "pass dpop" not in text
    assert "dpop" in text.partition("(")[2]


# B7: white space


@pytest.mark.parametrize("space", ["\n", "\r\n", " ", "\t"])
@pytest.mark.parametrize("position", [0, 1])
def test_w8_white_space_around_an_id_or_url_is_refused_by_name(server, space, position):
    arguments = [server.token_endpoint, server.client_id, server.client_secret]
    arguments[position] += space
    with pytest.raises(ValueError, match=["token_endpoint", "client_id"][position]):
        ClientCredentialsAuth(*arguments)


# B8: the same token again


def test_l7_the_same_token_again_serves_until_it_expires(server, make_auth, clock):
    auth = make_auth()
    for left in (40, 19, 18):
        server.answer_next(Answer(200, token_answer("the-same", expires_in=left)))
    auth.get_token()
    clock.advance(21)
    for _ in range(150):
        clock.advance(0.1)
        assert auth.get_token().access_token == "the-same"
    assert len(server.token_requests) <= 3


# B9: charsets

CHARSETS = {
    "ISO-8859-1": '{"access_token": "t", "name": "é"}'.encode("latin-1"),
    "iso-8859-15": '{"access_token": "t", "name": "€"}'.encode("iso-8859-15"),
    "windows-1252": '{"access_token": "t", "name": "€"}'.encode("cp1252"),
    "UTF-16": '{"access_token": "t", "name": "é"}'.encode("utf-16"),
    "shift_jis": '{"access_token": "t", "name": "é"}'.replace("é", "表").encode("shift_jis"),
    "utf-8": '{"access_token": "t", "name": "é"}'.encode(),
}


@pytest.mark.parametrize(("charset", "body"), CHARSETS.items(), ids=CHARSETS)
def test_a1_a_body_is_read_in_its_declared_charset(server, make_auth, charset, body):
    kind = {"Content-Type": f"application/json; charset={charset}"}
    server.answer_next(Answer(200, body, headers=kind))
    token = make_auth().get_token()
    assert token.access_token == "t"
    assert token.extra["name"] in ("é", "€", "表")


def test_a1_utf_8_comes_before_the_declared_charset(server, make_auth):
    kind = {"Content-Type": "application/json; charset=ISO-8859-1"}
    server.answer_next(Answer(200, CHARSETS["utf-8"], headers=kind))
    assert make_auth().get_token().extra["name"] == "é"


@pytest.mark.parametrize("charset", ["utf-8", "no-such-charset", "iso-8859-99", "punycode", "hex"])
def test_a1_bytes_that_no_charset_explains_are_replaced(server, make_auth, charset):
    kind = {"Content-Type": f"application/json; charset={charset}"}
    server.answer_next(Answer(200, CHARSETS["ISO-8859-1"], headers=kind))
    assert make_auth().get_token().extra["name"] == "\ufffd"


# B10: redirects


def test_w6_a_redirect_within_the_origin_is_named_with_its_path(server, make_auth):
    error = failure(server, make_auth, Answer(301, headers={"Location": "/token/?a=b"}))
    assert f"redirects to {server.token_endpoint}/," in str(error)


def test_w6_a_redirect_to_another_origin_is_named_without_its_path(server, make_auth):
    location = {"Location": "https://login.example/path"}
    error = failure(server, make_auth, Answer(302, headers=location))
    assert "redirects to https://login.example," in str(error)


# B11: where vendors put code and words

SHAPES = {
    "FedEx": {"errors": [{"code": "c", "message": "d"}, {"code": "x", "message": "y"}]},
    "errors in detail": {"errors": [{"errorCode": "c", "detail": "d"}, {"errorCode": "x"}]},
    "a code that is no text": {"error": ["x"], "errorCode": "c", "errorSummary": "d"},
    "Apigee": {"fault": {"faultstring": "d", "detail": {"errorcode": "c"}}},
    "Apigee, other": {"ErrorCode": "c", "Error": "d"},
    "IBM": {"errorCode": "c", "errorMessage": "d"},
    "Okta": {"errorCode": "c", "errorSummary": "d"},
    "UPS": {"response": {"errors": [{"code": "c", "message": "d"}, {"code": "x"}]}},
    "Salesforce": [{"errorCode": "c", "message": "d"}],
    "Google": {"error": {"code": 401, "status": "c", "message": "d"}},
    "Microsoft Graph": {"error": {"code": "c", "message": "d"}},
    "ArcGIS": {"error": {"code": 400, "error": "c", "error_description": "d"}},
    "AWS": {"__type": "c", "message": "d"},
    "AWS with capitals": {"__type": "c", "Message": "d"},
    "camel case": {"error": "c", "errorDescription": "d"},
    "a plain description": {"error": "c", "description": "d"},
    "Walmart": {"error": [{"code": "c", "description": "d"}]},
    "Zoom": {"error": "c", "reason": "d"},
    "Spring": {"status": 400, "error": "c", "message": "d"},
    "Anthropic": {"type": "error", "error": {"type": "c", "message": "d"}},
    "numbers": {"code": 1234, "message": "d"},
    "a number where others have more": {"errors": 3, "code": "c", "message": "d"},
}


@pytest.mark.parametrize("body", SHAPES.values(), ids=SHAPES)
def test_a6_code_and_words_are_found_where_vendors_put_them(server, make_auth, body):
    error = failure(server, make_auth, Answer(400, body))
    assert (error.error, error.error_description) in [("c", "d"), ("1234", "d")]
    assert f"{error.error}: d" in str(error)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"type": "about:blank", "title": "d", "status": 400}, "application/problem+json"),
        ({"title": "t", "detail": "d"}, "application/problem+json"),
        ({"detail": [{"msg": "d"}, {"msg": "x"}]}, JSON),
        ({"response": 400, "message": "d"}, JSON),
        ({"code": 10**15, "message": "d"}, JSON),
        ({"errors": ["d"]}, JSON),
        ("d", "text/plain; charset=utf-8"),
    ],
)
def test_a6_words_without_a_code_are_found_too(server, make_auth, body, kind):
    error = failure(server, make_auth, Answer(400, body, headers={"Content-Type": kind}))
    assert (error.error, error.error_description) == (None, "d")


@pytest.mark.parametrize(
    ("body", "end"),
    [
        ({"message": "Client credentials verified"}, "the answer has no access_token"),
        ({"error": True}, "the answer has an error"),
        ({"error": "invalid_client"}, f"invalid_client ({SECRET_HINT})"),
    ],
)
def test_a6_a_success_without_a_token_is_told_with_one_reason(server, make_auth, body, end):
    error = failure(server, make_auth, Answer(200, body), body="form")
    words = body.get("message")
    assert str(error).endswith(f"with status 200: {words}: {end}" if words else f"200: {end}")
    assert error.error_description == words


# A1: which member is missing


@pytest.mark.parametrize(
    ("answer", "missing"),
    [
        (Answer(200, {"accessToken": "t"}), "has no access_token"),
        (Answer(200, {"access_token": None}), "has no access_token"),
        (Answer(200, {"access_token": ""}), "visible ASCII"),
        (Answer(200, {"access_token": 7}), "visible ASCII"),
        (Answer(200, {"access_token": "a b"}), "visible ASCII"),
        (Answer(200, []), "no JSON object"),
        (Answer(200, "<html>", headers=HTML), "no JSON object"),
        (Answer(200, {"access_token": "t", "error": "e"}), "status 200: e"),
        (Answer(201, b""), "no JSON object"),
        (Answer(200, {"access_token": "t", "error": True}), "the answer has an error"),
    ],
)
def test_a1_the_error_says_what_is_missing(server, make_auth, answer, missing):
    assert missing in str(failure(server, make_auth, answer))


# B12: token types


@pytest.mark.parametrize(
    "token_type", ["jwt", "JWT", "jwt-bearer", "BearerToken", "Application Access Token"]
)
def test_a2_vendors_names_of_a_bearer_token_are_understood(server, make_auth, token_type):
    server.answer_next(Answer(200, token_answer("t", token_type=token_type)))
    assert make_auth().get_token().authorization == "Bearer t"


@pytest.mark.parametrize("token_type", ["mac", "pop", "DPoP", "N_A"])
def test_a2_other_types_are_errors(server, make_auth, token_type):
    error = failure(server, make_auth, Answer(200, token_answer("t", token_type=token_type)))
    assert token_type in str(error)


# B13: lifetimes

NOW = 1_800_000_000
LIFETIMES = {
    "Entra v1": ({"expires_on": str(NOW + 3600)}, None, 3600),
    "expires_at": ({"expires_at": NOW + 600.5}, None, 600.5),
    "expires_in wins": ({"expires_in": 60, "expires_on": NOW + 3600}, None, 60),
    "expires_in cannot be used": ({"expires_in": "soon", "expires_at": NOW + 60}, None, 60),
    "expires_in is negative": ({"expires_in": -1}, None, None),
    "negative, with a default": ({"expires_in": -1}, 120, 120),
    "zero": ({"expires_in": 0}, 120, 0),
    "milliseconds": ({"expires_at": (NOW + 600) * 1000}, None, 600),
    "it has passed": ({"expires_on": NOW - 10}, 120, 120),
    "a date": ({"expires_at": "2027-01-15T09:00:00Z"}, None, None),
    "nothing": ({}, None, None),
    "nothing, with a default": ({}, 900, 900),
    "null, with a default": ({"expires_in": None}, 900, 900),
    "a default beside a lifetime": ({"expires_in": 60}, 900, 60),
}


@pytest.mark.parametrize(("members", "default", "lifetime"), LIFETIMES.values(), ids=LIFETIMES)
def test_a3_the_lifetime_comes_from_the_server_or_by_default(
    server, make_auth, clock, members, default, lifetime
):
    assert clock.wall == NOW
    server.answer_next(Answer(200, {"access_token": "t", **members}))
    options = {} if default is None else {"default_lifetime": default}
    token = make_auth(**options).get_token()
    assert token.expires_at == (None if lifetime is None else NOW + lifetime)


def test_a3_a_token_with_expires_on_is_renewed(server, make_auth, clock):
    auth = make_auth(renew_ahead=0)
    server.answer_next(Answer(200, {"access_token": "t", "expires_on": NOW + 3600}))
    assert auth.get_token().access_token == "t"
    clock.advance(3590)
    assert auth.get_token().access_token != "t"


@pytest.mark.parametrize("value", [0, -1, float("nan"), "60", True])
def test_w8_a_default_lifetime_that_is_none_is_refused(make_auth, value):
    with pytest.raises((TypeError, ValueError), match="default_lifetime"):
        make_auth(default_lifetime=value)


# B14, F1, F2: when to try again


@pytest.mark.parametrize(
    "body",
    [
        {"error": "unknown_error", "error_description": "retry your request"},
        {"error": "temporarily_unavailable"},
        {"message": "Something went wrong. Try again later."},
    ],
)
def test_a6_a_server_that_asks_for_the_request_again_makes_it_retryable(server, make_auth, body):
    assert failure(server, make_auth, Answer(400, body)).retryable


RESETS = {
    "X-Rate-Limit-Reset": (str(NOW + 30), 30),  # Okta
    "X-RateLimit-Reset": (str(NOW + 40), 40),  # GitHub
    "x-ratelimit-reset": (f"{NOW + 40}000", 40),  # in milliseconds
    "X-RateLimit-Reset-After": ("7.5", 7.5),  # Discord
    "X-RateLimit-RetryAfter": (str(NOW + 50), 50),  # CrowdStrike
    "RateLimit-Reset": ("20", 20),  # a draft of the IETF
    "RateLimit": ('"default";r=0;t=12', 12),  # a later one
    "ratelimit": ("limit=100, remaining=0, reset=13", 13),
}


@pytest.mark.parametrize(("name", "field"), RESETS.items(), ids=RESETS)
def test_f2_a_429_says_in_many_ways_when_to_come_back(server, make_auth, clock, name, field):
    value, seconds = field
    error = failure(server, make_auth, Answer(429, headers={name: value}))
    assert (error.retryable, error.retry_after) == (True, seconds)


@pytest.fixture
def far_from_greenwich(monkeypatch):
    monkeypatch.setenv("TZ", "XYZ+5")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    "form", ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y"]
)
def test_f2_every_form_of_an_http_date_is_in_utc(server, make_auth, far_from_greenwich, form):
    date = time.strftime(form, time.gmtime(time.time() + 100))
    answer = Answer(503, headers={"Retry-After": date})
    assert 90 < failure(server, make_auth, answer, body="form").retry_after <= 100


def test_f2_of_two_retry_afters_the_first_counts(server, make_auth, clock):
    headers = [("Retry-After", "60"), ("Retry-After", "30")]
    assert failure(server, make_auth, Answer(503, headers=headers), body="form").retry_after == 60


def test_f2_retry_after_comes_before_the_reset_of_a_rate_limit(server, make_auth, clock):
    headers = {"Retry-After": "5", "X-Rate-Limit-Reset": str(NOW + 60)}
    assert failure(server, make_auth, Answer(429, headers=headers)).retry_after == 5


def test_f2_a_rate_limit_that_is_not_reached_is_no_reason_to_wait(server, make_auth, clock):
    headers = {"X-Rate-Limit-Reset": str(NOW + 60)}
    assert failure(server, make_auth, Answer(400, headers=headers)).retry_after is None


@pytest.mark.parametrize("value", ["", "soon", "-5", "1e9", "9" * 20])
def test_f2_a_reset_that_cannot_be_read_is_none(server, make_auth, value):
    headers = {"X-RateLimit-Reset": value, "RateLimit": "t=x"}
    assert failure(server, make_auth, Answer(429, headers=headers)).retry_after is None


# B15: proxies


def through(proxy: Tunnel) -> TokenError:
    """The error of a token request through this proxy, with two retries."""
    with requests.Session() as session:
        session.proxies["https"] = proxy.url
        auth = ClientCredentialsAuth(
            "https://127.0.0.1:1/token", "a-client", "a-client-secret", session=session, retries=2
        )
        with pytest.raises(TokenError) as caught:
            auth.get_token()
    return caught.value


@pytest.mark.parametrize(("status", "attempts"), [(407, 1), (403, 1), (502, 3)])
def test_f1_a_tunnel_that_a_proxy_refuses_is_asked_for_again_only_if_that_may_pass(
    clock, status, attempts
):
    with Tunnel([f"HTTP/1.1 {status} No\r\n\r\n".encode()]) as proxy:
        error = through(proxy)
    assert error.retryable is (attempts > 1)
    assert len(proxy.asked_for) == attempts


def test_f1_the_unknown_certificate_of_a_proxy_is_no_reason_to_try_again(clock):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with Tunnel(context=context) as proxy:
        error = through(proxy)
    assert "CERTIFICATE_VERIFY_FAILED" in str(error)
    assert not error.retryable
    assert clock.slept == []


def test_w6_a_segment_that_may_be_a_token_is_not_shown_of_a_path(server, make_auth):
    location = "/callback/an-access-token-that-nobody-may-see/end"
    text = str(failure(server, make_auth, Answer(302, headers={"Location": location}), body="form"))
    assert f"redirects to {server.url}/callback/[redacted]/end, and" in text


def test_w6_a_path_that_may_be_anything_but_a_path_is_not_shown(server, make_auth):
    location = {"Location": f'{server.url}/x":"an-access-token"'}
    error = failure(server, make_auth, Answer(302, headers=location))
    assert f"redirects to {server.url}," in str(error)


@pytest.mark.parametrize("name", ["status", "code", "message"])
def test_s1_a_token_under_another_name_is_not_in_the_error(server, make_auth, name):
    token = "an-access-token-under-another-name"
    error = failure(server, make_auth, Answer(200, {"token_type": "Bearer", name: token}))
    assert "has no access_token" in str(error)
    assert token not in f"{error}{error.error}{error.error_description}"


@pytest.mark.parametrize("name", ["X-Subject-Token", "Authorization"])
def test_s1_a_token_in_the_header_of_a_success_is_not_in_the_error(server, make_auth, name):
    headers = {name: "Bearer an-access-token", "Date": "today"}
    error = failure(server, make_auth, Answer(201, {"token": {}}, headers=headers))
    assert error.response.headers["Date"] == "today"
    assert "an-access-token" not in str(error.response.headers)


def test_a6_a_long_code_of_a_success_is_no_token(server, make_auth):
    code = "incorrect_client_credentials"  # GitHub
    error = failure(server, make_auth, Answer(200, {"error": code, "error_description": "wrong"}))
    assert (error.error, error.error_description) == (code, "wrong")
