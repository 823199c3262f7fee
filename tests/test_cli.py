"""The command line: its help, its exit statuses, and what it does to a terminal."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import pytest

from clientcreds_requests._cli import main as commands
from clientcreds_requests._cli.demo import show
from clientcreds_requests._cli.main import main
from clientcreds_requests._cli.screen import Screen

RUN = (sys.executable, "-m", "clientcreds_requests")


def some_figures(**changes: Any) -> dict[str, Any]:
    """Figures such as the demo returns, of a run of two seconds and a half."""
    counted = {"api_calls": 1402, "api_401s": 2, "token_requests": 3}
    counted |= {"token_requests_reset": 1, "tokens_issued": 2}
    counted |= {"calls": 1400, "failed": 0, "saw_401": 0, "sent_again": 2, "slowest": 340.0}
    starts = {"cold start": 0.0, "renewal": 0.4, "revocation": 0.8, "outage": 1.3}
    calls_per_step = [0, 32, 40, 40, 20, 1, 40, 40, 40, 0]
    return {
        "ok": True,
        "reasons": [],
        "settings": {"threads": 32, "outage": 2.2, "leeway": 0.5, "step": 0.25},
        "back": 2.1,
        "ended": 2.4,
        **counted,
        "acts": {name: {"at": at, **counted} for name, at in starts.items()},
        "moments": {
            "api_calls": [
                0.25 * step + 0.1 for step in range(10) for _ in range(calls_per_step[step])
            ],
            "api_401s": [0.8, 0.9],
            "tokens_issued": [0.2, 1.1],
            "token_requests_reset": [1.6],
        },
    } | changes


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Returns what is shown of figures, on a screen of some encoding and width."""

    def show_all(figures: dict[str, Any], encoding: str = "utf-8", width: int = 80) -> str:
        monkeypatch.setenv("COLUMNS", str(width))
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n")
        show(figures, Screen(stream))
        stream.seek(0)
        return stream.read()

    return show_all


def test_without_a_command_it_prints_help_and_exits_with_status_2(capsys):
    assert main([]) == 2
    assert "demo" in capsys.readouterr().err


def test_python_m_runs_it():
    ran = run_python("-m", "clientcreds_requests")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("usage: clientcreds-requests")


def test_a_process_that_imports_the_main_module_does_not_run_it():
    ran = run_python("-c", "import clientcreds_requests.__main__")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    # In a process of its own: of what pytest rewrites, runpy runs nothing.
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True)


def test_version_is_that_of_the_distribution(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"clientcreds-requests {version('clientcreds-requests')}\n"


def test_help_names_every_option_of_the_demo(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["demo", "--help"])
    help_ = capsys.readouterr().out
    assert "--json" in help_
    assert "--seconds" in help_


def test_a_demo_of_no_number_of_seconds_is_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["demo", "--seconds", "ten"])
    assert "argument --seconds: invalid float value: 'ten'" in capsys.readouterr().err


@pytest.mark.parametrize("seconds", ["1", "61", "nan"])
def test_a_demo_of_less_than_2_or_more_than_60_seconds_is_refused(seconds, capsys):
    assert main(["demo", "--seconds", seconds]) == 2
    said = capsys.readouterr().err
    assert said == f"bad argument: --seconds must be from 2 to 60, not {seconds}\n"


def test_an_interrupt_ends_it_with_status_130_and_no_traceback():
    running = subprocess.Popen(
        (*RUN, "demo"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    first = running.stdout.readline()
    running.send_signal(signal.SIGINT)
    rest, errors = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "without a token" in first
    assert "Counted" not in rest
    assert errors == "\ninterrupted\n"


def test_a_reader_that_leaves_ends_it_without_a_traceback(monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        monkeypatch.setattr(commands, "show", lambda *_: stdout.write("too late\n"))
        monkeypatch.setattr(commands.Demo, "run", lambda _: {"ok": True})
        assert main(["demo"]) == 1


def test_a_screen_shows_columns_for_time_and_rows_for_what_was_counted(shown):
    lines = shown(some_figures()).splitlines()
    assert lines[1:7] == [
        "                      0 s     2 s",
        "API calls              ▇██▄▁███",
        "  answered with 401      !",
        "tokens issued         ●   ●",
        "token requests reset        ○",
        "events                ▲  ▲ ├ down ┤",
    ]
    assert "  API calls                1,402" in lines
    assert "  slowest call               340 ms, in the cold start" in lines
    assert "              32 threads started cold: 3 token requests; slowest 340 ms." in lines
    assert lines[-1] == "All promises were kept."


def test_a_screen_that_is_not_utf_8_gets_ascii(shown):
    text = shown(some_figures(), encoding="latin-1")
    assert text.isascii()
    assert "| down |" in text


def test_a_narrow_screen_gets_several_steps_to_a_column_and_wrapped_text(shown):
    lines = shown(some_figures(ended=24.9), width=60).splitlines()
    assert max(map(len, lines)) < 60
    assert lines[1].split() == ["0", "s", "6", "s", "12", "s", "18", "s", "24", "s"]


def test_reasons_take_the_place_of_the_good_news(shown):
    text = shown(some_figures(ok=False, reasons=["3 of 1,400 calls failed"]))
    assert text.endswith("\n\nBroken: 3 of 1,400 calls failed.\n")
