"""The command line: options, verbs, exit status.

``prostate-seg segment | export | evaluate | compare | phantom | train | ...``.

Exit 0: done; 1: at least one case failed, the others are done; 2: nothing could be done.
"""

from __future__ import annotations

import argparse
import io
import logging
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from ..errors import ProstateSegError
from ..system.guard import GIGABYTES, SECONDS, Limits
from .making import info, phantom, train
from .measuring import compare, evaluate
from .modelling import collect, shape_model
from .options import parser
from .segmenting import export, segment
from .telling import NOTHING_DONE, SOME_FAILED, VisibleLines, say, say_lines

_VERBS: dict[str, Callable[[argparse.Namespace], int]] = {
    "segment": segment,
    "export": export,
    "evaluate": evaluate,
    "compare": compare,
    "phantom": phantom,
    "train": train,
    "shape-model": shape_model,
    "collect": collect,
    "info": info,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name that the terminal cannot show
    options = parser().parse_args(arguments)
    if arguments is None:  # the program itself, not another one that calls this
        signal.signal(signal.SIGTERM, _interrupt)
    try:
        _limit_reading(options)
        with _own_sentences_only(debug=options.debug):
            return _VERBS[options.verb](options)
    except KeyboardInterrupt:
        say("prostate-seg: interrupted; nothing is half-written.")
        return SOME_FAILED
    except Exception as error:
        if options.debug:
            say_lines(traceback.format_exc())
        cause = _cause(error)
        if isinstance(cause, ProstateSegError):
            say(f"prostate-seg: {cause}")
            return NOTHING_DONE
        said = f"{type(cause).__name__} ({(str(cause).strip() or 'no text').splitlines()[0]})"
        say(f"prostate-seg: unexpected {said}; run again with --debug for the traceback.")
        return SOME_FAILED


def _limit_reading(options: argparse.Namespace) -> None:
    """Set the limits for this process and those that it starts. Raises SettingsError."""
    for variable, name in ((SECONDS, "read_seconds"), (GIGABYTES, "read_gigabytes")):
        if (value := getattr(options, name, None)) is not None:
            os.environ[variable] = str(value)
    Limits.from_environment()


def _cause(error: BaseException) -> BaseException:
    """An error of this package that a library wrapped, else what the error came from in the end."""
    while not isinstance(error, ProstateSegError) and error.__cause__ is not None:
        error = error.__cause__
    return error


@contextmanager
def _own_sentences_only(*, debug: bool) -> Iterator[None]:
    """Log to stderr, and leave out what libraries warn of unless the user looks for a fault."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(VisibleLines("%(levelname)s: %(message)s"))
    if not debug:
        handler.addFilter(logging.Filter("prostate_seg"))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        with warnings.catch_warnings():
            if not debug:
                warnings.simplefilter("ignore")
            yield
    finally:
        root.removeHandler(handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Let a request to end (SIGTERM) tidy up as Ctrl-C does."""
    raise KeyboardInterrupt
