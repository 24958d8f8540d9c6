"""Terminal output: progress and notes on stderr, results on stdout; and the values of the exit status.

All texts are printed by this module. It escapes control characters, so a file name cannot move the cursor, change
colours or start a new line.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from typing import Any, TextIO

from ..errors import OutputError

DONE, SOME_FAILED, NOTHING_DONE = 0, 1, 2
# Control characters (C0, DEL, C1), line and paragraph separators, and controls of the writing direction.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """Return the text in one line, with control characters as escapes such as ``\\x1b``."""
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def say(text: str) -> None:
    """Print a line on stderr."""
    _write(sys.stderr, visible(text))


def say_lines(text: str) -> None:
    """Print several lines on stderr, for example a traceback."""
    for line in text.splitlines():
        say(line)


def show(text: object) -> None:
    """Print a line on stdout."""
    _write(sys.stdout, visible(str(text)))


def show_json(content: Any) -> None:
    """Print a JSON document on stdout. JSON in ASCII escapes all control characters."""
    _write(sys.stdout, json.dumps(content, indent=1))


class VisibleLines(logging.Formatter):
    """Formatter that writes a log record in one line, and escapes control characters."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return the level and message of the record in one line."""
        return visible(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        """Return the traceback, with control characters escaped in each line."""
        return "\n".join(map(visible, super().formatException(ei).splitlines()))


def _write(stream: TextIO | None, text: str) -> None:
    """Print a text and a line end.

    If the reader has closed the stream, as after ``| head``, the work continues and further output is discarded.
    Raise OutputError if printing fails for another reason.
    """
    if stream is None:  # closed before the program started
        return
    try:
        print(text, file=stream, flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # Python writes to it on exit
        if not isinstance(error, BrokenPipeError):
            raise OutputError(
                f"The output cannot be printed ({error.strerror}); print it to a place with space."
            ) from error
