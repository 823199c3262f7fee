"""A urllib3 policy of the user's own, on the adapter for the API."""

from __future__ import annotations

import io

import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from clientcreds_requests.testing import RESET, Answer

from .sides import SESSIONS, check_sides

pytestmark = pytest.mark.package("urllib3")

OVERLOADED = Answer(503, headers={"Retry-After": "7"})
LIMITED = Answer(429, headers={"Retry-After": "8"})


class Patient(Retry):
    """A policy whose waits are noted, and not waited for."""

    waits: list[float | None] = []  # noqa: RUF012 - of the test
    meanwhile = staticmethod(lambda: None)

    def sleep(self, response=None):
        self.waits.append(response and self.get_retry_after(response))
        self.meanwhile()


@pytest.fixture
def patient(monkeypatch):
    monkeypatch.setattr(Patient, "waits", [])
    return Patient


@pytest.fixture(params=SESSIONS)
def mounted(request, story):
    """Makes a session in which a policy is mounted for the API."""

    def make(policy):
        session = request.param(story)
        session.mount(story.server.api_url, HTTPAdapter(max_retries=policy))
        return session

    return make


def test_calls_are_retried_with_their_token_and_the_replay_too(story, mounted, patient):
    policy = patient(3, status_forcelist=[429, 503], backoff_factor=0.1)
    again = [OVERLOADED, RESET, None]
    story.server.api_answer_next(*again, None, None, None, LIMITED)
    story.EXPECTED = ((1, 503), (1, None), (1, 200), (2, 200), (2, 401), (3, 429), (3, 200))
    with mounted(policy) as session:
        story.tell(session.get)
    assert patient.waits == [7, None, 8]
    assert [asked.status for asked in story.server.token_requests] == [200] * 3
    check_sides(story)


def test_a_token_that_is_revoked_between_two_attempts_is_replaced(
    story, mounted, patient, monkeypatch
):
    monkeypatch.setattr(patient, "meanwhile", story.server.revoke_all)
    with mounted(patient(3, status_forcelist=[503])) as session:
        story.server.api_answer_next(OVERLOADED)
        response = session.get(story.url)
    assert [answer.status_code for answer in (*response.history, response)] == [401, 200]
    assert story.calls() == [(1, 503), (1, 401), (2, 200)]
    story.told = True
    check_sides(story)


def test_a_body_is_the_same_in_every_attempt_and_in_the_replay(story, mounted, patient):
    policy = patient(3, status_forcelist=[503], allowed_methods=None)
    with mounted(policy) as session:
        session.auth.authorize()
        story.server.revoke_all()
        story.server.api_answer_next(OVERLOADED, None, OVERLOADED)
        file = io.BytesIO(b"skipped, sent")
        file.seek(9)
        assert session.post(story.url, data=file).ok
    assert story.calls() == [(1, 503), (1, 401), (2, 503), (2, 200)]
    assert {call.body for call in story.server.api_requests} == {b"sent"}
    story.told = True
    check_sides(story)


def test_the_policy_for_the_api_is_not_that_for_the_token_endpoint(story, mounted, patient):
    with mounted(patient(0, status_forcelist=[503])) as session:
        story.server.answer_next(Answer(503))
        assert session.get(story.url).ok
        story.server.api_answer_next(OVERLOADED)
        with pytest.raises(requests.exceptions.RetryError):
            session.get(story.url)
    assert len(story.server.token_requests) == 2
    assert patient.waits == []
    story.told = True
    check_sides(story)


# A policy that lists 401


def test_a_policy_that_lists_401_keeps_it_from_the_auth(story, mounted, patient):
    with mounted(patient(2, status_forcelist=[401])) as session:
        session.auth.authorize()
        story.server.revoke_all()
        for _ in range(2):
            with pytest.raises(requests.exceptions.RetryError, match="401 error responses"):
                session.get(story.url)
        assert story.calls() == [(1, 401)]
        assert len(story.server.api_requests) == 6
        session.auth.signout()  # or when the token expires
        assert session.get(story.url).ok
    assert len(story.server.token_requests) == 2
    story.told = True
    check_sides(story)


def test_a_policy_that_lists_401_and_returns_the_last_answer_costs_time_only(
    story, mounted, patient
):
    with mounted(patient(2, status_forcelist=[401], raise_on_status=False)) as session:
        story.tell(session.get)
    refused = [call for call in story.server.api_requests if call.status == 401]
    assert len(refused) == 3
    check_sides(story)
