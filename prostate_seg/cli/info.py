"""The verb ``info``: what is installed, and what the parts of the network contribute."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import SettingsError
from .common import path
from .output import DONE, show, show_json

HELP = "versions, bundle, formats, network"
EXAMPLES = (
    "info",
    "info --network",
    "info --json",
)


def add_options(verb: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    verb.add_argument("--network", action="store_true", help="the network, and its accuracy with each part removed")
    verb.add_argument("--bundle", type=path, metavar="FOLDER", help="with --network: another bundle")
    verb.add_argument("--json", action="store_true", help="as JSON on stdout")


def run(options: argparse.Namespace) -> int:
    """Print what is installed, or what the network consists of."""
    if options.bundle is not None and not options.network:
        raise SettingsError("--bundle needs --network; without it, info describes the installation.")
    facts = _network(options.bundle) if options.network else _installation()
    if options.json:
        show_json(facts)
        return DONE
    for line in _network_lines(facts) if options.network else _lines(facts):
        show(line)
    return DONE


def _installation() -> dict[str, Any]:
    from ..inference.released import describe_installation

    return describe_installation()


def _network(bundle: Path | None) -> dict[str, Any]:
    from ..inference.identity import network_facts

    return network_facts(bundle)


def _lines(facts: dict[str, Any]) -> list[str]:
    return [f"{key}: {', '.join(f'{k} {v}' for k, v in value.items()) if isinstance(value, dict) else value}"
            for key, value in facts.items()]  # fmt: skip


def _network_lines(facts: dict[str, Any]) -> list[str]:
    lines = [f"bundle: {facts['bundle']}", *_settings(facts["network"], "network")]
    for row in facts["measured"]:
        lost = f", {row['lost']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})" if row["lost"] is not None else ""
        lines.append(f"{row['set']} ({row['cases']} cases), {row['network']}: mean Dice {row['dice']:.3f}{lost}")
    return lines + ([facts["remark"]] if facts["remark"] else [])


def _settings(value: Any, name: str) -> list[str]:
    """Return a line for each object of the settings: its class and its plain arguments."""
    if not isinstance(value, dict):
        return [f"{name}: {value}"]
    parts = {key: part for key, part in value.items() if isinstance(part, dict)}
    plain = [f"{key} {part}" for key, part in value.items() if key not in parts and not key.startswith("_")]
    first = f"{name}: {str(value.get('_target_')).rsplit('.', 1)[-1]}" + "".join(f", {part}" for part in plain)
    return [first, *(line for key, part in parts.items() for line in _settings(part, key))]
