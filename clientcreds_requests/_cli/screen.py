"""Where the commands write: a terminal, a file or a pipe, of whatever encoding."""

from __future__ import annotations

import codecs
import shutil
import textwrap
from typing import TextIO


class Screen:
    """Plain lines; on a terminal also one that the next line overwrites."""

    def __init__(self, stream: TextIO, width: int | None = None) -> None:
        self._stream, self._is_terminal = stream, stream.isatty()
        self._encoding = codecs.lookup(stream.encoding or "ascii").name
        self._erase = ""
        self.is_utf8: bool = self._encoding == "utf-8"
        # Text is wrapped as on a terminal, unless it is none and the caller says otherwise.
        if width is None or self._is_terminal:
            width = shutil.get_terminal_size().columns - 1  # some terminals wrap in the last one
        self.width: int = width

    def say(self, line: str = "", /) -> None:
        """Write a line. What the encoding lacks is written as Python escapes it."""
        self._write(f"{line}\n")
        self._erase = ""

    def paragraph(self, text: str, head: str = "") -> None:
        """Write a text beside its head, wrapped."""
        room = max(self.width - len(head), 20)
        for line in textwrap.wrap(text, room, break_long_words=False):
            self.say(f"{head}{line}")
            head = " " * len(head)

    def live(self, line: str, /) -> None:
        """Write a line that the next one overwrites; nothing where there is no terminal."""
        if self._is_terminal:
            line = line[: self.width]
            self._write(line)
            self._erase = f"\r{' ' * len(line)}\r"

    def _write(self, text: str) -> None:
        text = text.encode(self._encoding, "backslashreplace").decode(self._encoding)
        self._stream.write(f"{self._erase}{text}")
        self._stream.flush()
