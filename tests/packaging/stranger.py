"""The first minute of somebody who has installed the package: ``stranger.py PYTHON [MYPY]``.

PYTHON is of an environment that holds the package, and nothing that it does not need by itself.
MYPY, if given, is asked what it makes of the types there, instead of the demo.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ENVIRONMENT = """
import sys
from importlib import metadata
from pathlib import Path
import clientcreds_requests, clientcreds_requests.testing
assert Path(clientcreds_requests.__file__).is_relative_to(sys.prefix), "not the installed package"
versions = {d.metadata["Name"].lower(): d.version for d in metadata.distributions()}
needed = {"certifi", "charset-normalizer", "clientcreds-requests", "idna", "requests", "urllib3"}
assert set(versions) == needed, f"not an empty environment: {sorted(set(versions) ^ needed)}"
print("Python", sys.version.split()[0], *(f"{n} {versions[n]}" for n in ("requests", "urllib3")))
"""

FIRST_PROGRAM = """
import requests
from clientcreds_requests import ClientCredentialsAuth, ClientCredentialsSession
from clientcreds_requests.testing import LocalAuthorizationServer

with LocalAuthorizationServer() as server:
    client = (server.token_endpoint, server.client_id, server.client_secret)
    auth = ClientCredentialsAuth(*client, scope="read")
    with ClientCredentialsSession(*client, base_url=server.api_url) as session:
        assert requests.get(server.api_url, auth=auth).ok
        assert session.get("data").json()["path"] == "/api/data"
    assert auth.access_token is not None
"""

TYPOS = """
from clientcreds_requests import ClientCredentialsAuth

auth = ClientCredentialsAuth("https://auth.example.com/token", "id", "secret", scop="read")
auth.authorise()
token: int = auth.get_token().access_token
"""

COMPLAINTS = ("[call-arg]", "[attr-defined]", "[assignment]")


def run(*command: str, status: int = 0) -> str:
    """What a command prints; it must not complain."""
    done = subprocess.run(command, capture_output=True, text=True)
    output = done.stdout + done.stderr
    assert done.returncode == status, f"{' '.join(command)}: {done.returncode}\n{output}"
    return output


def check(python: str, mypy: str | None) -> None:
    """Import it, call an API; then look at the types, or watch the demo and ask for too much."""
    script = str(Path(python).with_name("clientcreds-requests"))
    quietly = (python, "-I", "-W", "error")
    print(run(*quietly, "-c", ENVIRONMENT + FIRST_PROGRAM), end="")
    assert {"demo", "token", "check"} <= set(run(script, "--help").split())
    if mypy is None:
        assert "All promises were kept." in run(script, "demo", "--seconds", "2")
        assert "pip install" in run(*quietly, "-c", "import clientcreds_requests.jwt", status=1)
        return
    command = [mypy, "--strict", "--cache-dir", ".cache", "--python-executable", python]
    Path("right.py").write_text(FIRST_PROGRAM, encoding="utf-8")
    Path("typos.py").write_text(TYPOS, encoding="utf-8")
    complaints = run(*command, "right.py", "typos.py", status=1)
    assert "right.py" not in complaints, complaints
    for complaint in COMPLAINTS:
        assert complaints.count(complaint) == 1, complaints


if __name__ == "__main__":
    paths = [str(Path(path).absolute()) for path in sys.argv[1:]]
    with tempfile.TemporaryDirectory() as elsewhere:
        os.chdir(elsewhere)
        check(paths[0], paths[1] if paths[1:] else None)
