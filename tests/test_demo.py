"""The demo tells the truth: real runs, at a quicker pace, watched and counted."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading

import pytest

from clientcreds_requests._cli import demo
from clientcreds_requests._cli import main as commands
from clientcreds_requests._cli.demo import Demo
from clientcreds_requests._cli.main import main
from clientcreds_requests.testing import RESET, Answer, LocalAuthorizationServer

RUN = (sys.executable, "-m", "clientcreds_requests", "demo", "--seconds", "4")
CONTROL = re.compile(r"[^\n -\x7e]")


class Silence:
    """Watches, and says nothing."""

    def say(self, line: str) -> None:
        pass

    live = say


class Watched(Silence):
    """Remembers what stays."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture(scope="module")
def background():
    """Runs that take their time beside the other tests: plain text without UTF-8, and JSON."""
    runs = {
        name: subprocess.Popen(
            (*RUN, *options),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONIOENCODING": "ascii", "COLUMNS": "80"},
            text=True,
        )
        for name, options in {"text": (), "json": ("--json",)}.items()
    }
    yield runs
    for run in runs.values():
        run.kill()
        run.communicate()


def test_a_promise_that_is_broken_is_a_reason(background):
    class Careless(LocalAuthorizationServer):
        @property
        def token_requests(self):
            return [request for request in super().token_requests for _ in range(2)]

    server = Careless()
    server.api_answer_next(Answer(500), RESET)
    figures = Demo(server, Silence(), 0.3).run()
    cold, together, failed = figures["reasons"]
    assert not figures["ok"]
    assert cold == "the cold start took 2 token requests"
    assert together == "two token requests were under way at once"
    assert re.match(r"2 of \d+ calls failed, the first with (status 500|ConnectionError: )", failed)
    assert figures["failed"] == 2


def test_a_call_that_one_side_did_not_count_is_a_reason():
    class Forgetful(LocalAuthorizationServer):
        @property
        def api_requests(self):
            return super().api_requests[1:]

    figures = Demo(Forgetful(), Silence(), 0.3).run()
    assert figures["reasons"] == ["the server and the callers did not count the same calls"]


def test_a_server_that_gives_no_token_ends_the_demo_early_with_status_1(monkeypatch, capsys):
    class Refusing(LocalAuthorizationServer):
        def start(self):
            self.answer_next(*[Answer(400, {"error": "invalid_scope"})] * 100)
            return super().start()

        __enter__ = start

    monkeypatch.setattr(commands, "LocalAuthorizationServer", Refusing)
    monkeypatch.setattr(demo, "PATIENCE", 0.5)
    assert main(["demo", "--seconds", "2"]) == 1
    captured = capsys.readouterr()
    shown = " ".join(captured.out.split())
    # On a busy machine it may be the answers that it has waited for.
    awaited = "(all are answered|a new token is in use)"
    assert re.search(rf"Broken: waited 0\.5 s in vain until {awaited}\.", shown)
    assert re.search(r"Broken: \d+ of \d+ calls failed, the first with TokenError: ", shown)
    assert "All promises" not in shown
    assert captured.err == ""


def test_an_interrupt_before_the_start_leaves_no_thread_behind(monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    threads = set(threading.enumerate())
    monkeypatch.setattr(commands.Screen, "say", interrupt)
    assert main(["demo"]) == 130
    assert set(threading.enumerate()) == threads
    assert capsys.readouterr().err == "\ninterrupted\n"


def test_json_is_one_object_and_nothing_else(monkeypatch, capsys):
    figures = {"ok": True}
    monkeypatch.setattr(Demo, "run", lambda self: self._screen.say("no word of this") or figures)
    assert main(["demo", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == figures


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="this system has no pseudo terminals")
def test_a_terminal_has_a_live_line_that_leaves_no_trace(monkeypatch):
    received: list[bytes] = []
    master, slave = os.openpty()

    def read() -> None:
        try:
            while chunk := os.read(master, 65536):
                received.append(chunk)
        except OSError:  # how Linux says that the other side was closed
            pass

    monkeypatch.setenv("COLUMNS", "60")
    reader = threading.Thread(target=read)
    reader.start()
    with open(slave, "w", encoding="utf-8", newline="\n") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        assert main(["demo", "--seconds", "5"]) == 0  # or a busy machine breaks the promises
        monkeypatch.undo()
    reader.join()
    os.close(master)
    text = b"".join(received).decode().replace("\r\n", "\n")
    assert "\x1b" not in text
    overwritten = [part for line in text.split("\n") for part in line.split("\r")[:-1]]
    assert any(
        re.fullmatch(r" +\d\.\d\d s  outage +\d+ calls  0 failed .*", p) for p in overwritten
    )
    assert max(map(len, overwritten)) < 60
    stays = [line.split("\r")[-1] for line in text.split("\n")]
    assert all(line.strip() or not line for line in stays)
    assert "All promises were kept." in stays


def test_without_a_terminal_there_is_plain_text_alone(background):
    text, errors = background["text"].communicate(timeout=60)
    assert background["text"].returncode == 0, text
    assert errors == ""
    assert not CONTROL.search(text)
    assert max(map(len, text.splitlines())) < 80
    moments = re.findall(r"^ +(\d+\.\d\d) s  ", text, re.MULTILINE)
    assert len(moments) == 10
    assert moments == sorted(moments, key=float)
    assert "32 threads started cold: 1 token request;" in text
    assert text.endswith("\nAll promises were kept.\n")


def test_its_figures_agree_with_one_another(background):
    text, errors = background["json"].communicate(timeout=60)
    assert background["json"].returncode == 0, text
    assert errors == ""
    figures = json.loads(text)
    assert (figures["ok"], figures["reasons"]) == (True, [])
    for name, moments in figures["moments"].items():
        assert len(moments) == figures[name]
        assert name == "token_requests" or figures[name] == sum(
            act[name] for act in figures["acts"].values()
        )
    assert figures["api_calls"] == figures["calls"] + figures["sent_again"]
    assert figures["api_401s"] == figures["sent_again"] > 0
    assert figures["token_requests"] == figures["tokens_issued"] + figures["token_requests_reset"]
    assert (figures["failed"], figures["saw_401"]) == (0, 0)
    cold, renewal, revocation, outage = figures["acts"].values()
    assert cold["token_requests"] == 1
    assert renewal["tokens_issued"] >= 1
    assert revocation["api_401s"] == figures["api_401s"]
    assert outage["token_requests_reset"] == figures["token_requests_reset"] > 0
    settings = figures["settings"]
    assert figures["back"] - outage["at"] >= settings["outage"] > settings["leeway"]
