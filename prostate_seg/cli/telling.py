"""What every verb tells: progress and notes on stderr, an exit status."""

import sys

DONE, SOME_FAILED, NOTHING_DONE = 0, 1, 2


def say(text: str) -> None:
    """A line on stderr."""
    print(text, file=sys.stderr, flush=True)
