"""Response hooks of the user's own, beside that of the auth."""

from __future__ import annotations

import pytest
import requests

from clientcreds_requests.testing import Answer

from .sides import SESSIONS, check_sides, names_in

pytestmark = pytest.mark.package("requests")

FORBIDDEN = Answer(401, headers={"WWW-Authenticate": 'Bearer error="insufficient_scope"'})


@pytest.fixture(params=SESSIONS)
def session(request, story):
    with request.param(story) as session:
        yield session


def test_hooks_of_the_session_and_of_a_call_see_the_answer_after_the_replay(story, session):
    seen = []

    def reading(name):
        def hook(response, **_settings):
            response.raise_for_status()
            seen.append((name, response.json()["path"]))
            shown = [str(answer.request.headers) for answer in (*response.history, response)]
            assert "the client secret" not in names_in(story, shown)

        return hook

    session.hooks["response"] = [reading("one"), reading("two")]
    story.tell(lambda url: session.get(url, hooks={"response": [reading("three")]}))
    assert seen == [("three", f"/api/{number}") for number in (1, 2, 3, 4)]
    session.get(story.url)  # a call without hooks has those of the session
    assert seen[4:] == [("one", "/api/5"), ("two", "/api/5")]
    check_sides(story)


def test_a_hook_may_replace_the_answer(story, session):
    replaced = []

    def hook(response, **_settings):
        other = requests.Response()
        other.status_code, other.history = response.status_code, response.history
        other._content = response.content.upper()
        replaced.append([answer.status_code for answer in other.history])
        return other

    session.hooks["response"].append(hook)
    story.tell(session.get)
    assert replaced == [[], [], [], [401]]
    assert session.get(story.url).content.startswith(b'{"METHOD"')
    check_sides(story)


@pytest.mark.parametrize("through", ["the session", "the adapter"])
def test_a_hook_may_send_again(story, session, through):
    """Through the session what is refused meanwhile is replayed; the adapter knows no hooks."""

    def poll(response, **settings):
        if response.status_code != 202:
            return None
        story.server.revoke_all()
        if through == "the session":
            return session.send(response.request.copy(), **settings)
        return response.connection.send(response.request.copy(), **settings)

    session.hooks["response"].append(poll)
    story.server.api_answer_next(Answer(202))
    response = session.get(story.url)
    seen = [answer.status_code for answer in (*response.history, response)]
    assert seen == ([401, 200] if through == "the session" else [401])
    assert story.calls() == [(1, 202), (1, 401), (2, 200)][: 1 + len(seen)]
    story.told = True
    check_sides(story)


def test_a_hook_sees_a_401_that_another_token_would_not_help(story, session):
    def hook(response, **_settings):
        if response.status_code == 401:
            raise PermissionError(response.headers["WWW-Authenticate"])

    session.hooks["response"].append(hook)
    story.tell(session.get)
    story.server.api_answer_next(FORBIDDEN)
    with pytest.raises(PermissionError, match="insufficient_scope"):
        session.get(story.url)
    check_sides(story)


def test_a_hook_put_first_on_a_prepared_request_sees_the_401_before_the_replay(story, session):
    seen = []

    def first(response, **_settings):
        seen.append((response.status_code, response.text))

    def call(url):
        prepared = session.prepare_request(requests.Request("GET", url))
        prepared.hooks["response"].insert(0, first)
        return session.send(prepared)

    story.tell(call)
    assert [status for status, _ in seen] == [200, 200, 200, 401]
    assert '"invalid_token"' in seen[3][1]
    check_sides(story)
