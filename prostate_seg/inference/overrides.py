"""Check of the names in a bundle's overrides. MONAI itself accepts any name."""

from __future__ import annotations

import difflib
import inspect
import json
import pydoc
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import fire
from monai.bundle import ConfigParser
from monai.bundle.config_item import ComponentLocator

from ..errors import BundleError, SettingsError


def check_overrides(arguments: Sequence[str] | None = None) -> None:
    """Raise SettingsError if ``python -m monai.bundle run`` sets a name that the configuration does not have.

    Names may be nested (``--train::trainer::max_epochs``, also with ``#``). Values may be dicts. BundleError is
    raised if the configuration cannot be read.

    Parameters
    ----------
    arguments
        Command line after ``monai.bundle``. By default it is the command line of this process, if this process
        is ``python -m monai.bundle``; otherwise nothing is checked.
    """
    if arguments is None:
        if Path(sys.argv[0]).parts[-3:] != ("monai", "bundle", "__main__.py"):
            return
        arguments = sys.argv[1:]
    files, overrides = _parsed(arguments)
    if not files:
        return
    try:
        config = ConfigParser.load_config_files(files)
    except (OSError, ValueError) as error:
        raise BundleError(f"{files} cannot be read as configuration: {error}") from error
    check_names(overrides, config)


def check_names(overrides: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Raise SettingsError for the first override that names no setting; the text gives the most similar name.

    An optional argument of an object (``_target_``) counts as a setting, even if the configuration omits it.
    """
    known = set(_names(config))
    for name in _override_names(overrides):
        setting = name.replace("#", "::").replace("+", "")
        if setting in known or _is_argument(setting, config):
            continue
        close = difflib.get_close_matches(setting, known, n=1)
        hint = f"did you mean {close[0]}?" if close else "see the configuration file for its names."
        raise SettingsError(f"The configuration has no setting named {setting}; {hint}")


def _parsed(arguments: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Return the configuration files and the overrides, parsed as on MONAI's own command line (with fire)."""
    found: dict[str, Any] = {}

    def run(  # noqa: PLR0913, PLR0917 - the signature of monai.bundle.run
        run_id: Any = None,
        init_id: Any = None,
        final_id: Any = None,
        meta_file: Any = None,
        config_file: Any = None,
        logging_file: Any = None,
        tracking: Any = None,
        args_file: Any = None,
        bundle_root: Any = None,
        workflow_type: Any = None,
        workflow_name: Any = None,
        properties_path: Any = None,
        **overrides: Any,
    ) -> None:
        found.update(config_file=config_file, args_file=args_file, overrides=overrides)

    if not arguments or arguments[0] != "run":
        return [], {}
    command = list(arguments[: arguments.index("--")] if "--" in arguments else arguments)
    fire.Fire({"run": run}, command=command)
    overrides = dict(found["overrides"])
    files = found["config_file"]
    if found["args_file"]:
        file = json.loads(Path(str(found["args_file"])).read_text(encoding="utf-8"))
        files = files or file.get("config_file")
        reserved = inspect.signature(run).parameters
        overrides = {key: value for key, value in file.items() if key not in reserved} | overrides
    if isinstance(files, str):
        files = [files]
    return [str(file) for file in files or []], overrides


def _override_names(overrides: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in overrides.items():
        yield f"{prefix}{key}"
        if isinstance(value, Mapping) and "_target_" not in value:
            yield from _override_names(value, f"{prefix}{key}::")


def _names(config: Any, prefix: str = "") -> Iterator[str]:
    items = config.items() if isinstance(config, Mapping) else enumerate(config) if isinstance(config, list) else ()
    for key, value in items:
        yield f"{prefix}{key}"
        yield from _names(value, f"{prefix}{key}::")


def _is_argument(setting: str, config: Any) -> bool:
    """Return whether a nested name ends in an argument of the object described by the part before it."""
    *path, last = setting.split("::")
    for key in path:
        try:
            config = config[int(key)] if isinstance(config, list) else config[key]
        except (KeyError, IndexError, ValueError, TypeError):
            return False
    target = config.get("_target_") if path and isinstance(config, Mapping) else None
    if not isinstance(target, str):
        return False
    module = ComponentLocator().get_component_module_name(target)
    found = pydoc.locate(target if "." in target else f"{module}.{target}")
    try:
        return last in inspect.signature(found).parameters  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
