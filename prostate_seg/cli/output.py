"""Terminal output: progress, notes and errors on stderr, results on stdout; and the values of the exit status.

Notes are left out with ``--quiet``, details are printed with ``--verbose``.

All texts are printed by this module. It escapes control characters, so a file name cannot move the cursor, change
colours or start a new line.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TextIO

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from ..errors import OutputError

DONE, SOME_FAILED, NOTHING_DONE = 0, 1, 2
# Control characters (C0, DEL, C1), line and paragraph separators, and controls of the writing direction.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """Return the text in one line, with control characters as escapes such as ``\\x1b``."""
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


class _Loudness:
    """How much is printed on stderr, and the bar that is shown there."""

    notes, details = True, False
    bar: tqdm[Any] | None = None


def set_loudness(*, quiet: bool, verbose: bool) -> None:
    """Set whether notes and details are printed."""
    _Loudness.notes, _Loudness.details = not quiet, verbose
    logging.getLogger("prostate_seg").setLevel(logging.WARNING if quiet else logging.NOTSET)


def say(text: str) -> None:
    """Print a line on stderr, also with ``--quiet``."""
    with _without_bar():
        _write(sys.stderr, visible(text))


def note(text: str) -> None:
    """Print a line on stderr, but not with ``--quiet``."""
    if _Loudness.notes:
        say(text)


def detail(text: str) -> None:
    """Print a line on stderr with ``--verbose``."""
    if _Loudness.details:
        say(text)


@contextmanager
def progress(total: int, unit: str, *, before: int = 0) -> Iterator[Callable[[int], None]]:
    """Show a bar with the remaining time while the block runs. Yield a function that sets how much is done.

    ``before`` was done earlier, and does not count in the speed. Without a terminal, with ``--quiet`` or for a
    single item there is no bar.
    """
    shown = _Loudness.notes and total > 1 and sys.stderr is not None and sys.stderr.isatty()
    with tqdm(total=total, initial=before, unit=unit, leave=False, disable=not shown, dynamic_ncols=True) as bar:
        _Loudness.bar = bar if shown else None
        try:
            yield lambda done: bar.update(done - bar.n) if done > bar.n else None
        finally:
            _Loudness.bar = None


@contextmanager
def steps() -> Iterator[Callable[[int, int], None]]:
    """Show a bar while the block runs, whose length is known at its first step only.

    Yield a function of the number of steps done and the number of all steps. Log records are printed above the bar.
    """
    with ExitStack() as stack:
        update: list[Callable[[int], None]] = []

        def watch(done: int, total: int) -> None:
            if not update:
                update.append(stack.enter_context(progress(total, "step", before=done - 1)))
                stack.enter_context(logging_redirect_tqdm(tqdm_class=tqdm))
            update[0](done)

        yield watch


@contextmanager
def _without_bar() -> Iterator[None]:
    """Take the bar away while the block prints."""
    bar = _Loudness.bar
    if bar is not None:
        bar.clear()
    yield
    if bar is not None:
        bar.refresh()


def say_lines(text: str) -> None:
    """Print several lines on stderr, for example a traceback."""
    for line in text.splitlines():
        say(line)


def show(text: object) -> None:
    """Print a line on stdout."""
    with _without_bar():
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
