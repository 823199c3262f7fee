"""A Django site on sqlite, for the servers that are Django applications."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.core.wsgi import get_wsgi_application
from loopback import Counting, run

folder = tempfile.TemporaryDirectory()


class QuietHandler(WSGIRequestHandler):
    def log_message(self, *_args: object) -> None:
        pass


def set_up(urls: str, application: str, **own: Any) -> None:
    """Configure the site; what reads its settings on import can be imported then.

    :param urls: the name of the module that has the URLs.
    :param application: what is installed besides what every such application needs.
    :param own: further settings.
    """
    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": Path(folder.name, "db.sqlite3"),
                # Threads that write take turns instead of failing with "database is locked".
                "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20},
            }
        },
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", application],
        MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
        ROOT_URLCONF=urls,
        SECRET_KEY="of no use outside this process",
        USE_TZ=True,
        **own,
    )
    django.setup()
    call_command("migrate", verbosity=0)


def serve() -> None:
    """Serve the site until standard input ends."""
    with folder:
        server = ThreadedWSGIServer(("127.0.0.1", 0), QuietHandler)
        server.set_app(Counting(get_wsgi_application()))
        run(server)
