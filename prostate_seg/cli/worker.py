"""The verb ``worker``: corrections for other programs, such as the extension for 3D Slicer."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from contextlib import suppress
from functools import partial

from .common import path, start_monai
from .output import DONE

HELP = "segment and correct for another program: lines of JSON on stdin and stdout"
EXAMPLES = (
    "worker",
    "worker --device cpu --bundle RUN",
)


def add_options(verb: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    verb.add_argument("--bundle", type=path, metavar="FOLDER", help="bundle to use (default: the released one)")
    verb.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")


def run(options: argparse.Namespace) -> int:
    """Answer requests until the input ends. What libraries print goes to stderr."""
    start_monai(options)
    from ..cases.worker import serve
    from ..inference.predictor import load_bundle

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the program that started this one
    sys.stdout.flush()
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    with suppress(BrokenPipeError), replies, open(os.dup(0), encoding="utf-8", errors="replace") as requests:
        serve(requests, replies, partial(load_bundle, options.bundle, device=options.device))
    return DONE
