"""The command line: ``prostate-seg segment | export | evaluate | compare | phantom | train | ...``.

Exit 0: done; 1: at least one case failed, the others are done; 2: nothing could be done.
"""

from __future__ import annotations

import argparse
import io
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence

from ..errors import ProstateSegError
from ..guard import GIGABYTES, SECONDS, Limits
from .making import info, phantom, train
from .measuring import compare, evaluate
from .modelling import collect, shape_model
from .options import parser
from .segmenting import export, segment
from .telling import NOTHING_DONE, SOME_FAILED, say

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
    options = parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s", stream=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name that the terminal cannot show
    try:
        _limit_reading(options)
        status = _VERBS[options.verb](options)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        say("prostate-seg: interrupted; nothing is half-written.")
        return SOME_FAILED
    except BrokenPipeError:  # the reader of stdout has gone, as head does; Python must not write to it on exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return SOME_FAILED
    except Exception as error:
        if options.debug:
            traceback.print_exc()
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
