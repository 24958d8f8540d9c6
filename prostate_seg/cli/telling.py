"""Texts on the terminal: progress and notes on stderr, results on stdout, an exit status.

Every text goes through here, so that a file's name cannot move the cursor, colour the screen or start a line.
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
# Control characters (C0, DEL, C1), line and paragraph separators, and what turns the direction of writing.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """The text in one line, with control characters as escapes (``\\x1b``); all else as it is."""
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def say(text: str) -> None:
    """A line on stderr."""
    _write(sys.stderr, visible(text))


def say_lines(text: str) -> None:
    """Several lines on stderr, as of a traceback."""
    for line in text.splitlines():
        say(line)


def show(text: object) -> None:
    """A line on stdout."""
    _write(sys.stdout, visible(str(text)))


def show_json(content: Any) -> None:
    """A document on stdout; JSON in ASCII escapes what a terminal would obey."""
    _write(sys.stdout, json.dumps(content, indent=1))


class VisibleLines(logging.Formatter):
    """Log records as lines of one sentence."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The record's level and message in one line."""
        return visible(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        """The traceback below, if there is one."""
        return "\n".join(map(visible, super().formatException(ei).splitlines()))


def _write(stream: TextIO | None, text: str) -> None:
    """A text and a line end. If nobody reads the stream any more, as after ``| head``, the work goes on without."""
    if stream is None:  # closed from the start
        return
    try:
        print(text, file=stream, flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # nor must Python write to it on exit
        if not isinstance(error, BrokenPipeError):
            raise OutputError(
                f"The output cannot be printed ({error.strerror}); print it to a place with space."
            ) from error
