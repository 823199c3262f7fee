"""What is taken out of a server's words, and what is left in."""

from __future__ import annotations

import json
from urllib.parse import quote, quote_plus

import pytest
from raw_server import endpoint_of, failure_of

from clientcreds_requests import ClientAssertion
from clientcreds_requests._redaction import Redactor
from clientcreds_requests.testing import Answer

SECRET = 'ä/b "c" d'


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        quote(SECRET),
        quote(SECRET, ""),
        quote_plus(SECRET),
    ],
)
def test_s1_a_secret_is_taken_out_in_every_form_in_which_it_can_be_sent(form):
    assert Redactor(SECRET)(f"not {form}!") == "not [redacted]!"


def test_s1_a_secret_that_begins_like_another_leaves_nothing_of_it():
    assert Redactor("secret", "secret-key")("a secret-key") == "a [redacted]"


def test_s1_what_has_no_more_than_four_characters_may_be_part_of_a_word():
    assert Redactor("able", "ready")("unable, already") == "unable, al[redacted]"


def test_a6_a_line_is_bounded_and_has_no_character_that_cannot_be_printed():
    line = Redactor().line
    assert line("a\r\n\x1b b") == "a b"
    assert line("x" * 300) == "x" * 300
    assert line("x" * 301) == "x" * 300 + "..."


def test_s1_an_answer_that_repeats_an_extra_header_does_not_show_its_value(server):
    def echo(request):
        return Answer(400, {"error": "no", "error_description": request.headers["X-Key"]})

    server.answer_next(echo)
    error = failure_of(endpoint_of(server, body="form", extra_headers={"X-Key": "an-api-key"}))
    assert error.error_description == "[redacted]"


def test_a6_an_answer_that_names_the_type_of_the_assertion_stays_as_it_is(server):
    def echo(request):
        told = "{client_assertion_type}: {client_assertion}".format(**request.params)
        return Answer(400, {"error": "no", "error_description": told})

    server.answer_next(echo)
    assertion = ClientAssertion(lambda _: "an-assertion", "https://as.example")
    error = failure_of(endpoint_of(server, assertion, body="form"))
    kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    assert error.error_description == f"{kind}: [redacted]"
