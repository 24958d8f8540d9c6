"""Command line: options, verbs, exit status.

``prostate-seg segment | export | evaluate | compare | phantom | train | ...``.

The exit status is 0 if everything is done, 1 if at least one case failed and the others are done, and 2 if nothing
could be done. An interruption or an unexpected error also gives 1.
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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import shtab

from .. import __version__
from ..errors import ProstateSegError
from ..system.guard import GIGABYTES, SECONDS, Limits
from . import (
    check_data,
    collect,
    compare,
    evaluate,
    export,
    info,
    merge,
    phantom,
    prepare,
    refine,
    review,
    segment,
    shape_model,
    train,
    worker,
)
from .common import Parser, examples, limit_options
from .output import NOTHING_DONE, SOME_FAILED, VisibleLines, say, say_lines, set_loudness

VERBS = {
    "segment": segment,
    "refine": refine,
    "review": review,
    "merge": merge,
    "export": export,
    "evaluate": evaluate,
    "compare": compare,
    "phantom": phantom,
    "train": train,
    "shape-model": shape_model,
    "prepare": prepare,
    "collect": collect,
    "check-data": check_data,
    "worker": worker,
    "info": info,
}
READ_NOTHING = ("compare", "phantom", "info")  # verbs that open no images or masks of others


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``prostate-seg``; the attribute ``verb`` of its result holds the verb."""
    top = Parser(
        prog="prostate-seg", description="Prostate segmentation in transrectal ultrasound. Research use only."
    )
    top.add_argument("--version", action="version", version=f"prostate-seg {__version__}")
    shtab.add_argument_to(top, "--print-completion", help="print the completion of a shell: bash, zsh or tcsh")
    verbs = top.add_subparsers(title="verbs", required=True, dest="verb", metavar="VERB")
    for name, module in VERBS.items():
        verb = verbs.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_options(verb)
        verb.add_argument("--debug", action="store_true", help="show tracebacks")
        loudness = verb.add_mutually_exclusive_group()
        loudness.add_argument("-q", "--quiet", action="store_true", help="print errors and results only")
        loudness.add_argument("-v", "--verbose", action="store_true", help="print details too")
        verb.formatter_class = argparse.RawDescriptionHelpFormatter
        verb.epilog = "\n\n".join(filter(None, [verb.epilog, examples(module.EXAMPLES)]))
        if name not in READ_NOTHING:
            limit_options(verb)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # for file names that the terminal cannot show
    options = parser().parse_args(arguments)
    options.is_program = arguments is None  # started as a program, not called by another one
    if options.is_program:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # idle threads of PyTorch leave the processor to others
        signal.signal(signal.SIGTERM, _interrupt)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not ignored
            signal.signal(signal.SIGINT, _interrupt)
    set_loudness(quiet=options.quiet, verbose=options.verbose)
    try:
        _limit_reading(options)
        with _own_sentences_only(debug=options.debug):
            return VERBS[options.verb].run(options)
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
    """Set the reading limits of this process and its child processes. Raise SettingsError for an invalid limit."""
    for variable, name in ((SECONDS, "read_seconds"), (GIGABYTES, "read_gigabytes")):
        if (value := getattr(options, name, None)) is not None:
            os.environ[variable] = str(value)
    Limits.from_environment()


def _cause(error: BaseException) -> BaseException:
    """Return the first error of this package in the chain of causes, otherwise the last cause."""
    while not isinstance(error, ProstateSegError) and error.__cause__ is not None:
        error = error.__cause__
    return error


@contextmanager
def _own_sentences_only(*, debug: bool) -> Iterator[None]:
    """Log to stderr, and hide the log records and warnings of libraries unless debugging."""
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


class _Interrupted(KeyboardInterrupt):
    """Interruption of this program.

    If a plain KeyboardInterrupt passes through ``exec`` of a string, as in some imports, ``python -m`` ends by the
    signal even if it is caught (CPython's ``run_eval_code_obj``): the exit status would depend on the moment.
    """


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Handle SIGINT and SIGTERM, so that temporary files are removed."""
    raise _Interrupted
