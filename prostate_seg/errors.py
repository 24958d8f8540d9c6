"""The exceptions of prostate-seg.

::

    ProstateSegError            base class of all errors below
    ├── InputError              a file cannot be segmented: unreadable, not ultrasound, empty or 4-D
    │   └── GeometryError       the geometry of a file is missing, contradictory or not that of a volume
    ├── BundleError             a bundle or its weights are missing, corrupted or not allowed
    ├── SettingsError           a setting, an option or a datalist entry is unknown or impossible
    └── OutputError             a result cannot be written to the requested place

The text of an error is one sentence: what is wrong, the value found, the value expected, and the remedy.
"""

from typing import Any


class ProstateSegError(Exception):
    """Base class of all errors that this package raises on purpose."""


class InputError(ProstateSegError, ValueError):
    """An input cannot be read, or it cannot be segmented."""


class GeometryError(InputError):
    """The geometry of an input is missing, contradictory, or not that of a volume."""


class BundleError(ProstateSegError):
    """A bundle, its settings or its weights cannot be used."""


class SettingsError(ProstateSegError, ValueError):
    """A setting is unknown or out of its range."""


class OutputError(ProstateSegError, OSError):
    """An output cannot be written."""


def shortened(value: Any, most: int = 80) -> str:
    """Return a value of a file as one printable ASCII line of at most ``most`` characters, for a message."""
    text = ascii(value[: most + 1] if isinstance(value, str | list) else value)
    return text if len(text) <= most else text[: most - 3] + "..."
