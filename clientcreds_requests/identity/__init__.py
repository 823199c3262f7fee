"""Tokens by which a workload proves who it is, from the platform that it runs on.

Each is a callable without arguments that returns the token of this moment: for
``FederatedAssertion``, as a value in ``extra_params``, or wherever else a callable is taken. It
fetches anew whenever it is called, holds no token, and can be pickled.

The metadata services of clouds are asked directly, never through a proxy. No redirect is followed.
"""

from __future__ import annotations

import os
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping

from .._checks import identifier, seconds
from .._redaction import forget_frames
from .._urls import is_secure, prepare_url
from ..exceptions import TokenError
from ._asking import Fields, ask, checked, member, raise_no_token, token_in_file

# The agent of Azure Arc puts its challenges there; no other file may be sent in answer to one.
_ARC_FOLDERS = {
    "linux": "/var/opt/azcmagent/tokens",
    "win32": r"%ProgramData%\AzureConnectedMachineAgent\Tokens",
}


class IdentityToken(ABC):
    """Base of the callables of this module; equal if made with equal arguments."""

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({given})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    def __hash__(self) -> int:
        return hash((type(self), *vars(self).values()))

    def __call__(self) -> str:
        """Return the token of this moment.

        :raises TokenError: if there is none; it names the place where it should have been.
        """
        try:
            return self._fetch()
        except TokenError as error:
            forget_frames(error)  # which hold what is sent to get a token
            raise error

    @abstractmethod
    def _fetch(self) -> str:
        """Return the token, or raise a TokenError."""


class FileToken(IdentityToken):
    """The token in a file, read anew for every token request.

    As Kubernetes projects tokens of service accounts
    (https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/), and as
    the helpers of SPIFFE write JWT-SVIDs. A byte order mark and the final newline are dropped. A
    file that changes while it is read is read again.

    :param path: path of the file; it need not exist yet.
    :raises TypeError, ValueError: if it is no path.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        text = os.fspath(path) if isinstance(path, os.PathLike) else path
        self.path: str = _no_token("path", text)

    def _fetch(self) -> str:
        return token_in_file(self.path)


class EnvToken(IdentityToken):
    """The token in an environment variable, read anew for every token request.

    :param name: name of the variable; it need not be set yet.
    :raises TypeError, ValueError: if it is no name.
    """

    def __init__(self, name: str) -> None:
        self.name: str = _no_token("name", name)

    def _fetch(self) -> str:
        where = f"the environment variable {self.name}"
        value = os.environ.get(self.name)
        if not value:
            raise_no_token(where, "it is empty" if value == "" else "it is not set")
        return checked(where, value.removesuffix("\n"))


class GitHubActionsToken(IdentityToken):
    """The OpenID Connect token of a job of GitHub Actions.

    The job needs ``permissions: id-token: write``. Source:
    https://docs.github.com/en/actions/reference/security/oidc#methods-for-requesting-the-oidc-token

    :param audience: ``aud`` of the token. None: the URL of the repository's owner.
    :param timeout: seconds for the whole request; it also ends with the token request.
    :raises TypeError, ValueError: for arguments that cannot work.
    """

    def __init__(self, audience: str | None = None, *, timeout: float = 10.0) -> None:
        self.audience: str | None = None if audience is None else identifier("audience", audience)
        self.timeout: float = seconds("timeout", timeout)

    def _fetch(self) -> str:
        where = "GitHub Actions"
        url = os.environ.get("ACTIONS_ID_TOKEN_REQUEST_URL", "")
        for name in ("ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"):
            if not os.environ.get(name):
                problem = f"{name} is not set: give the job 'permissions: id-token: write'"
                raise_no_token(where, problem)
        if not is_secure(url):  # the secret would travel in the clear
            raise_no_token(where, "ACTIONS_ID_TOKEN_REQUEST_URL is not https")
        query = {"audience": self.audience} if self.audience else {}
        fields = {"Authorization": lambda: f"bearer {os.environ['ACTIONS_ID_TOKEN_REQUEST_TOKEN']}"}
        return member(where, ask(where, url, query, fields, self.timeout, direct=False), "value")


class AzureManagedIdentityToken(IdentityToken):
    """An access token of a managed identity of Azure.

    From the place that the environment names: ``IDENTITY_ENDPOINT`` and ``IDENTITY_HEADER`` in App
    Service, Functions and Container Apps
    (https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference),
    ``IDENTITY_ENDPOINT`` and ``IMDS_ENDPOINT`` on servers with Azure Arc
    (https://learn.microsoft.com/azure/azure-arc/servers/managed-identity-authentication). Else
    from the Instance Metadata Service of virtual machines
    (https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token).

    :param resource: App ID URI of the target; ``api://AzureADTokenExchange`` for a client
        assertion to Entra.
    :param client_id: client id of a user-assigned identity. None: the system-assigned one.
    :param url: URL of the Instance Metadata Service.
    :param arc_folder: where the agent of Azure Arc puts its challenges; None: where it is
        installed by default.
    :param timeout: seconds for the whole request; it also ends with the token request.
    :raises TypeError, ValueError: for arguments that cannot work.
    """

    def __init__(
        self,
        resource: str,
        *,
        client_id: str | None = None,
        url: str = "http://169.254.169.254/metadata/identity/oauth2/token",
        arc_folder: str | None = None,
        timeout: float = 10.0,
    ) -> None:
        self.resource: str = identifier("resource", resource)
        self.client_id: str | None = (
            None if client_id is None else identifier("client_id", client_id)
        )
        self.url: str = prepare_url("url", url)
        self.arc_folder: str | None = arc_folder
        self.timeout: float = seconds("timeout", timeout)

    def _fetch(self) -> str:
        url = os.environ.get("IDENTITY_ENDPOINT", "")
        query = {"resource": self.resource}
        if self.client_id:
            query["client_id"] = self.client_id
        fields: Fields = {"Metadata": "true"}  # without it, nothing is answered
        if url and os.environ.get("IDENTITY_HEADER"):
            where, query["api-version"] = "Azure's managed identity endpoint", "2019-08-01"
            fields = {"X-IDENTITY-HEADER": lambda: os.environ["IDENTITY_HEADER"]}
        elif url and os.environ.get("IMDS_ENDPOINT"):
            where, query["api-version"] = "Azure Arc", "2020-06-01"
            fields = {**fields, **self._meet_challenge(where, url, query, fields)}
        else:
            where, query["api-version"] = "Azure's Instance Metadata Service", "2018-02-01"
            url = self.url
        return member(where, ask(where, url, query, fields, self.timeout), "access_token")

    def _meet_challenge(
        self, where: str, url: str, query: Mapping[str, str], fields: Fields
    ) -> Fields:
        """Return what Arc's agent wants to see: a file that only its group can read."""
        if self.client_id:
            raise_no_token(where, "it has no user-assigned identities: pass no client_id")
        challenged = ask(where, url, query, fields, self.timeout, expected=401)
        challenge = challenged.headers.get("WWW-Authenticate", "")
        found = re.fullmatch('Basic realm="?([^"]+)"?', challenge, re.IGNORECASE)
        if found is None:
            raise_no_token(where, "it sent no challenge that names a file")
        folder = self.arc_folder or os.path.expandvars(_ARC_FOLDERS.get(sys.platform, ""))
        if not os.path.isabs(folder):  # else a file of the working directory could be sent
            raise_no_token(where, "it is not known on this system: pass arc_folder")
        path = os.path.realpath(found[1])
        if os.path.dirname(path) != os.path.realpath(folder) or not path.endswith(".key"):
            raise_no_token(where, f"the challenge names a file that is no .key in {folder}")

        def key() -> str:
            try:
                return f"Basic {token_in_file(path)}"
            except TokenError as error:
                raise_no_token(where, f"{error}; join the group himds")

        return {"Authorization": key}


class GoogleMetadataToken(IdentityToken):
    """An OpenID Connect identity token of the service account attached to a Google workload.

    From the metadata server of Compute Engine, GKE, Cloud Run and others, in the full format,
    which has the claim ``email``. The environment variable ``GCE_METADATA_HOST`` names another
    host. Source:
    https://cloud.google.com/compute/docs/instances/verifying-instance-identity#request_signature

    :param audience: ``aud`` of the token.
    :param timeout: seconds for the whole request; it also ends with the token request.
    :raises TypeError, ValueError: for arguments that cannot work.
    """

    def __init__(self, audience: str, *, timeout: float = 10.0) -> None:
        self.audience: str = identifier("audience", audience)
        self.timeout: float = seconds("timeout", timeout)

    def _fetch(self) -> str:
        where = "Google's metadata server"
        host = os.environ.get("GCE_METADATA_HOST") or "metadata.google.internal"
        url = f"http://{host}/computeMetadata/v1/instance/service-accounts/default/identity"
        query = {"audience": self.audience, "format": "full"}
        answer = ask(where, url, query, {"Metadata-Flavor": "Google"}, self.timeout)
        if answer.headers.get("Metadata-Flavor") != "Google":
            raise_no_token(where, "the answer is not from it: it lacks Metadata-Flavor")
        return checked(where, answer.content.decode("ascii", "replace").strip())


def _no_token(name: str, value: str) -> str:
    """Return the name of a place; the token itself may be passed by mistake."""
    if isinstance(value, str) and value.startswith("eyJ"):  # how JWTs begin
        raise ValueError(f"{name} is a token: pass the {name} of where it is")
    return identifier(name, value)
