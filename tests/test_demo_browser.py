"""What serves the demo's page, asked as the page asks; tests/browser opens it."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import requests

from clientcreds_requests import ClientCredentialsAuth, TokenConnectionError
from clientcreds_requests._cli.browser import PYODIDE

RUN = (sys.executable, "-m", "clientcreds_requests", "demo", "--browser")
URL = "http://127.0.0.1:9/pyodide/"
# Also where the tests run in the background of a shell, which has their children ignore it.
WITH_INTERRUPTS = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler)}


@pytest.fixture(scope="module")
def url():
    """Where the page is; an interrupt ends what serves it."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen((*RUN, URL), **pipes, **WITH_INTERRUPTS) as run:
        try:
            said = run.stdout.readline()
            (found,) = re.findall(
                r"^Open (http://127\.0\.0\.1:\d+) in a browser; Ctrl-C ends\.$", said
            )
            yield found
        finally:
            run.send_signal(signal.SIGINT)
            rest = run.communicate(timeout=60)
    assert (run.returncode, *rest) == (130, "", "\ninterrupted\n")


@pytest.fixture
def settings(url):
    """What the page is told."""
    page = requests.get(url, timeout=20)
    page.encoding = "utf-8"
    (found,) = re.findall(r"^const settings = (.*);$", page.text, re.MULTILINE)
    assert "SETTINGS" not in page.text
    return json.loads(found)


def ask(url, path):
    """Ask as the page does: for what it can watch, after what it has changed."""
    return requests.post(f"{url}{path}", timeout=20).json()


def test_the_page_is_told_where_python_comes_from_and_who_the_client_is(settings):
    assert settings["pyodide"] == URL
    assert ClientCredentialsAuth(*settings["client"]).get_token().access_token


def test_the_page_watches_a_revocation_and_an_outage(url, settings):
    auth = ClientCredentialsAuth(*settings["client"], leeway=0.5, retries=0)
    before = ask(url, "/counts")
    assert requests.get(settings["api"], auth=auth, timeout=20).ok
    ask(url, "/revoke")
    (refused,) = requests.get(settings["api"], auth=auth, timeout=20).history
    assert refused.status_code == 401
    counts = ask(url, "/down")
    more = {name: counts[name] - before[name] for name in counts}
    assert more == {"API calls": 3, "answered with 401": 1, "tokens": 2}
    with pytest.raises(TokenConnectionError):
        ClientCredentialsAuth(*settings["client"], retries=0).authorize()
    assert requests.get(settings["api"], auth=auth, timeout=20).ok
    ask(url, "/up")
    assert ClientCredentialsAuth(*settings["client"]).get_token().access_token


def test_pages_of_this_origin_alone_may_call(url, settings):
    for asked in (settings["client"][0], settings["api"]):
        allowed = requests.options(
            asked,
            headers={"Origin": url, "Access-Control-Request-Method": "POST"},
            timeout=20,
        ).headers["Access-Control-Allow-Origin"]
        assert allowed == url


def test_the_page_gets_the_package_and_what_it_requires(url, tmp_path):
    content = requests.get(f"{url}/python.zip", timeout=20).content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        archive.extractall(tmp_path)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); "
        "import clientcreds_requests as ours, requests; "
        "print(ours.__file__, requests.__file__, requests.certs.where(), sep='\\n')"
    )
    # No other packages: -I for those of the user, -S for those of the installation.
    run = (sys.executable, "-I", "-S", "-c", code)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE")}
    printed = subprocess.check_output(run, env=environment, text=True)
    assert (tmp_path / "certifi/cacert.pem").is_file()
    assert printed.splitlines() == [
        str(tmp_path / name)
        for name in (
            "clientcreds_requests/__init__.py",
            "requests/__init__.py",
            "certifi/cacert.pem",
        )
    ]


def test_python_is_the_version_that_the_tests_in_a_browser_run_on():
    tested = json.loads((Path(__file__).parent / "browser/package.json").read_text())
    assert PYODIDE.endswith(f"/pyodide@{tested['dependencies']['pyodide']}/")


@pytest.mark.parametrize("more", [["--json"], ["--seconds", "4"]])
def test_what_it_would_not_do_in_a_browser_is_refused(more):
    refused = subprocess.run((*RUN, URL, *more), capture_output=True, text=True, timeout=60)
    assert refused.returncode == 2
    assert refused.stderr == "bad argument: --browser goes with no other option\n"
