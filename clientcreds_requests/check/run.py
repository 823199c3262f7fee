"""The check from its first question to its exit status."""

from __future__ import annotations

from typing import TextIO

from ..cli_options import TIMEOUT, Client, bad_arguments
from ..discovery import Metadata, discover
from ..exceptions import TokenError
from ..origins import without_query
from ..redaction import Redactor
from .attempts import Attempt, Attempts, Finding, Way
from .pasted import lines_of_python
from .report import Paper, Table, Words, notes, obstacle, what_next


def check(client: Client, stream: TextIO) -> int:
    """Find out what a token endpoint accepts from a client.

    :param client: who is asking, where, and what for.
    :param stream: where the report goes.
    :return: the exit status. 0: a token was got; 1: the endpoint refuses the client in every way;
        2: it is down, or no token endpoint.
    :raises BadArguments: when the client's settings could not work.
    """
    paper = Paper(stream)
    url, own_way = client.where, None
    if client.is_issuer:
        try:
            metadata = _metadata(client)
        except TokenError as error:
            paper.say(str(error))
            return 2
        url, own_way = metadata.token_endpoint, _way_of_from_issuer(metadata)
        _show(metadata, paper)
    with bad_arguments():
        attempts = Attempts(client, url)
    words = Words(client, attempts.url)
    table = Table(paper, words, client.request.scope)
    made: list[Attempt] = []
    for attempt in attempts:
        made.append(attempt)
        table.add(attempt)
    if table.is_shown:
        paper.say()
    # What was wanted comes first, then what needs the fewest settings.
    tokens = sorted(
        (attempt for attempt in made if attempt.finding is Finding.TOKEN),
        key=lambda a: (a.scope != client.request.scope, a.way != own_way, not a.way.encode),
    )
    if not tokens:
        stopped = made[-1].finding is Finding.DOWN
        if stopped or not table.is_shown:
            paper.paragraph(obstacle(made[-1] if stopped else made[0], words))
            return 2
        paper.paragraph(what_next(made, words, attempts.gave_up))
        return 1
    works = tokens[0]
    for note in notes(works, made, client, words):
        paper.paragraph(note)
        paper.say()
    for line in lines_of_python(client, url, works, by_issuer=works.way == own_way):
        paper.say(line)
    return 0


def _metadata(client: Client) -> Metadata:
    timeout = TIMEOUT if client.timeout is None else client.timeout
    with bad_arguments():
        return discover(client.where, timeout=timeout, allow_http=client.allow_http)


def _way_of_from_issuer(metadata: Metadata) -> Way:
    """How ``ClientCredentialsAuth.from_issuer`` asks, unless it is told otherwise."""
    if "client_secret_post" in metadata.client_auth_methods:
        return Way("form", "client_secret_post")
    return Way("form", "client_secret_basic")


def _show(metadata: Metadata, paper: Paper) -> None:
    methods = ", ".join(metadata.client_auth_methods) or "none named"
    line = Redactor().line
    paper.paragraph(line(without_query(metadata.token_endpoint)), "token endpoint  ")
    paper.paragraph(line(methods), "client_auth     ")
    paper.say()
