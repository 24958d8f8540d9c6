"""The verb ``info``: what is installed."""

from __future__ import annotations

import argparse
from typing import Any

from .output import DONE, show, show_json

HELP = "versions, bundle, formats"


def add_options(verb: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    verb.add_argument("--json", action="store_true", help="as JSON on stdout")


def run(options: argparse.Namespace) -> int:
    """Print what is installed."""
    from ..inference.released import describe_installation

    facts = describe_installation()
    if options.json:
        show_json(facts)
    else:
        for line in _lines(facts):
            show(line)
    return DONE


def _lines(facts: dict[str, Any]) -> list[str]:
    return [f"{key}: {', '.join(f'{k} {v}' for k, v in value.items()) if isinstance(value, dict) else value}"
            for key, value in facts.items()]  # fmt: skip
