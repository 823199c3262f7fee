"""The Python that does what was found to work, as one would write it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..cli_options import DEADLINE, TIMEOUT, Client
from ..origins import is_secure
from .attempts import Attempt

_WIDTH = 88
_SECRET = 'os.environ["CLIENT_SECRET"]'


def lines_of_python(client: Client, url: str, works: Attempt, *, by_issuer: bool) -> Iterator[str]:
    """The lines that make an auth which asks as the attempt did.

    :param client: who is asking.
    :param url: of the token endpoint.
    :param works: the attempt.
    :param by_issuer: may ``ClientCredentialsAuth.from_issuer`` find all that out itself?
    """
    names = "ClientCredentialsAuth" + ("" if works.way.encode else ", ClientSecretBasic")
    yield from ("import os", "", f"from clientcreds_requests import {names}", "")
    yield f"auth = ClientCredentialsAuth{'.from_issuer' if by_issuer else ''}("
    yield f"    {_literal(client.where if by_issuer else url)},"
    yield f"    {_literal(client.client_id)},"
    if works.way.encode:
        yield f"    {_SECRET},"
    for name, value in _settings(client, url, works, by_issuer):
        yield from _argument(name, value)
    yield ")"


def _settings(
    client: Client, url: str, works: Attempt, by_issuer: bool
) -> Iterator[tuple[str, str | list[str]]]:
    """Names, and the source text of values; of a list or dict its parts in brackets."""
    request, way = client.request, works.way
    if works.scope:
        yield "scope", _literal(works.scope)
    if request.resources:
        yield "resources", ["[", *map(_literal, request.resources), "]"]
    if request.audience:
        yield "audience", _literal(request.audience)
    if request.extra_params:
        pairs = (f"{_literal(name)}: {_literal(value)}" for name, value in request.extra_params)
        yield "extra_params", ["{", *pairs, "}"]
    if not by_issuer:
        yield "body", _literal(way.body)
        if not way.encode:
            yield "client_auth", f"ClientSecretBasic({_SECRET}, encode=False)"
        elif way.client_auth != "client_secret_post":
            yield "client_auth", _literal(way.client_auth)
    leeway = leeway_for(works.lifetime)
    if leeway is not None:
        yield "leeway", str(leeway)
    for name, default in (("timeout", TIMEOUT), ("deadline", DEADLINE)):
        if client.timeout is not None and client.timeout > default:
            yield name, f"{client.timeout:g}"
    if client.allow_http and not all(map(is_secure, (client.where, url))):
        yield "allow_http", "True"


def leeway_for(lifetime: float) -> int | None:
    """The leeway for tokens of that lifetime; None: the default one is right, or none is."""
    return int(lifetime / 4) if 0.5 <= lifetime < 39.5 else None


def _argument(name: str, value: str | list[str]) -> Iterable[str]:
    if isinstance(value, str):
        return [f"    {name}={value},"]
    opening, *parts, closing = value
    line = f"    {name}={opening}{', '.join(parts)}{closing},"
    if len(line) <= _WIDTH:
        return [line]
    return [f"    {name}={opening}", *(f"        {part}," for part in parts), f"    {closing},"]


def _literal(text: str) -> str:
    literal = repr(text)
    return literal if '"' in literal else f'"{literal[1:-1]}"'
