"""Cases that can become training data: their names, and how image and masks are loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..geometry.volume import Array, Volume
from ..reading.cases import Skipped


@dataclass(frozen=True, eq=False, repr=False)
class Loaded:
    """A case in memory.

    Attributes
    ----------
    image
        The image.
    masks
        Masks by structure, bool (I, J, K) on the grid of the image; the CTV is one of them.
    notes
        Why further structures are missing.
    """

    image: Volume
    masks: dict[str, Array]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, repr=False)
class Opened:
    """The files of a case.

    Attributes
    ----------
    made_of
        Origin for the datalist: digests of the files and all settings. A case is made anew if it changes.
    load
        Load image and masks. Raises InputError and GeometryError.
    """

    made_of: dict[str, Any]
    load: Callable[[], Loaded]


@dataclass(frozen=True, eq=False, repr=False)
class Item:
    """A case to prepare.

    Attributes
    ----------
    name
        Name of the case and of its files.
    key
        Text that identifies the image in later runs.
    patient
        Pseudonym of the patient.
    image, contours
        Names of the image and of the file of its contours, for messages.
    rois
        ROI of each structure; empty for a file that holds one mask.
    open
        Open the files. It can be sent to another process. Raises InputError and GeometryError.
    section
        Section of the datalist by the official split of a public set; empty if there is none.
    person
        ID of the patient, which is never written; empty if the pseudonym needs none.
    """

    name: str
    key: str
    patient: str
    image: str
    contours: str
    rois: Mapping[str, str]
    open: Callable[[], Opened]
    section: str = ""
    person: str = ""


@dataclass(frozen=True)
class Found:
    """Cases, and what is left over.

    Attributes
    ----------
    items
        The cases.
    left_over
        Name of the file or folder, and the reason.
    what
        Source of the cases in messages, such as ``export``.
    images
        Keys of all images, also of those that are left over.
    failed
        Number of pairs that are left over because their files are damaged or contradict each other.
    """

    items: tuple[Item, ...]
    left_over: tuple[Skipped, ...]
    what: str
    images: frozenset[str]
    failed: int = 0
