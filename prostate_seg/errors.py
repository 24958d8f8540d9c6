"""The exceptions of prostate-seg.

::

    ProstateSegError            everything below; its text is one sentence: what, got, expected, remedy
    ├── InputError              a file that cannot be segmented: unreadable, not ultrasound, empty, 4-D
    │   └── GeometryError       its geometry is missing, contradictory or not a volume's
    ├── BundleError             a bundle or its weights are missing, corrupted or not allowed
    ├── SettingsError           an unknown or impossible setting, option or datalist entry
    └── OutputError             a result cannot be written where it was asked for
"""


class ProstateSegError(Exception):
    """Base of all errors that this package raises on purpose."""


class InputError(ProstateSegError, ValueError):
    """An input cannot be read or is nothing that can be segmented."""


class GeometryError(InputError):
    """The geometry of an input is missing, contradictory, or not that of a volume."""


class BundleError(ProstateSegError):
    """A bundle, its settings or its weights cannot be used."""


class SettingsError(ProstateSegError, ValueError):
    """A setting is unknown or out of its range."""


class OutputError(ProstateSegError, OSError):
    """An output cannot be written."""
