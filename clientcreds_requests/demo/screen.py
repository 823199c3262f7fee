"""Where the demo is shown: a terminal, a file, a pipe."""

from __future__ import annotations

import codecs
import shutil
import textwrap
from typing import TextIO


class Screen:
    """Plain lines; on a terminal also one that is written over.

    :param stream: where they go.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._over = ""  # erases the line that is to be written over
        self.width: int = shutil.get_terminal_size().columns
        self.is_utf8: bool = codecs.lookup(stream.encoding or "ascii").name == "utf-8"

    def say(self, line: str = "", /) -> None:
        """Show a line that stays."""
        self._stream.write(f"{self._over}{line}\n")
        self._stream.flush()
        self._over = ""

    def paragraph(self, head: str, text: str) -> None:
        """Show a text beside its head, wrapped."""
        width = max(self.width - 1 - len(head), 20)
        for line in textwrap.wrap(text, width, break_long_words=False):
            self.say(f"{head}{line}")
            head = " " * len(head)

    def live(self, line: str, /) -> None:
        """Show a line until the next one comes, if this is a terminal."""
        if self._is_terminal:
            line = line[: self.width - 1]  # in the last column some terminals move on
            self._stream.write(f"{self._over}{line}")
            self._stream.flush()
            self._over = f"\r{' ' * len(line)}\r"
