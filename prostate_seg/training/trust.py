"""Check of a bundle's training configuration before it runs. MONAI would evaluate it and build any object in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import BundleError
from ..inference.released import released_bundle
from ..inference.settings import draw_network, read_json
from ..system.checked_files import MOST_BYTES, check_plain, shortened

_REMARK = "_desc_"
_FORMER = {"loss_of": "$lambda output: {'train_loss': output['loss'].item()}"}  # of bundles trained before 1.5.0
_SPECIAL = ("$", "@", "%")  # first characters of MONAI's expressions, references and macros


def check_trusted(bundle: Path, *, trust: bool) -> None:
    """Raise BundleError if training from a bundle could run code that the released bundle does not run.

    In train.json a bundle may change numbers, true, false, null and remarks (``_desc_``), omit entries, and have
    any network_def that ``segment`` accepts. Everything else in train.json must be as released. The whole
    logging.conf must be as released. metadata.json may hold no expression and no ``_target_``. If ``trust`` is
    true, nothing is checked.
    """
    if trust:
        return
    released = released_bundle()
    config, known = (read_json(place / "configs" / "train.json") for place in (bundle, released))
    if "network_def" in config:
        draw_network(config["network_def"])
    own, theirs = (
        {key: value for key, value in whole.items() if key != "network_def"} for whole in (config, known)
    )
    found = next(_foreign(own, theirs, ""), None) or next(_evaluated(bundle), None)
    ours, log = (place / "configs" / "logging.conf" for place in (bundle, released))
    if found is None and _text(ours) != _text(log):
        found = "its logging.conf is not the released one"
    if found is not None:
        raise BundleError(
            f"Training from {bundle} could run code of whoever wrote it: {found}, expected only what the released "
            "bundle holds, but for numbers and network_def; give --trust if you trust it."
        )


def _foreign(own: Any, known: Any, place: str) -> Iterator[str]:
    """Yield a phrase for each entry of a configuration that the known one does not have at the same place.

    Numbers, true, false, null and remarks are ignored. An element of a list may match any element of the known
    list.
    """
    if own is None or isinstance(own, bool | int | float):
        return
    if isinstance(own, dict) and isinstance(known, dict):
        for key, value in own.items():
            if key == _REMARK:
                continue
            inner = f"{place}::{key}".removeprefix("::")
            yield from _foreign(value, known.get(key), inner) if key in known else _new(key, value, inner)
    elif isinstance(own, list):
        others = known if isinstance(known, list) else []
        for number, value in enumerate(own):
            if all(next(_foreign(value, other, ""), None) for other in others):
                yield from _foreign(value, others[number] if number < len(others) else None, f"{place}::{number}")
    elif own != known and own != _FORMER.get(place):
        yield _told(place, own)


def _new(key: str, value: Any, place: str) -> Iterator[str]:
    if key.startswith(("_", "+", "~")) or "::" in key or "#" in key:
        yield _told(place, value)
    else:
        yield from _foreign(value, None, place)


def _told(place: str, value: Any) -> str:
    return f"train.json holds {shortened(value)} as {shortened(place)[1:-1]}"


def _evaluated(bundle: Path) -> Iterator[str]:
    """Yield a phrase for each entry of metadata.json that MONAI could evaluate: it is part of the configuration."""
    level: list[tuple[str, Any]] = [("metadata.json", read_json(bundle / "configs" / "metadata.json"))]
    while level:
        name, value = level.pop()
        if name == "_target_" or (isinstance(value, str) and value.startswith(_SPECIAL)):
            yield f"metadata.json holds {shortened(value)}"
        elif isinstance(value, dict):
            level += value.items()
        elif isinstance(value, list):
            level += [("", part) for part in value]


def _text(path: Path) -> str:
    try:
        check_plain(path, MOST_BYTES)
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise BundleError(f"{path} cannot be read as text; take the released bundle's.") from error
