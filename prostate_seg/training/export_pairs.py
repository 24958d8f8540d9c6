"""Pairs of images and contours in what a planning system exported: by their references, never by their order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InputError, ProstateSegError
from ..geometry.structures import CTV
from ..reading.cases import Case, Skipped, find_cases
from ..reading.chosen_structure import shown
from ..reading.masks import structure_names
from ..reading.references import Contours, ImageIdentity, Roi, contours_of, identity_of, plain_stem, walked
from ..system.input_files import InputFile
from .pseudonyms import pseudonyms
from .records import Known
from .roi_choice import Patterns, chosen_rois

APPROVED, REJECTED = "APPROVED", "REJECTED"


@dataclass(frozen=True, repr=False)
class Pair:
    """An image, the file of its contours, and which of its ROIs are which structure.

    Attributes
    ----------
    name
        Name of the case: that of the patient and a number.
    case
        The image.
    key
        Digest that identifies the image, see :class:`.references.ImageIdentity`.
    contours
        File of the contours.
    rois
        ROI of each structure; empty for a mask file without names, whose mask is the CTV.
    patient
        Pseudonym of the patient.
    person
        ID of the patient, which is never written.
    """

    name: str
    case: Case
    key: str
    contours: Path
    rois: dict[str, str]
    patient: str
    person: str


@dataclass(frozen=True)
class Pairing:
    """The pairs of an export; the rest is that of :class:`.found_cases.Found`."""

    pairs: tuple[Pair, ...]
    left_over: tuple[Skipped, ...]
    images: frozenset[str]
    failed: int


@dataclass(frozen=True)
class Wanted:
    """Which contours count.

    Attributes
    ----------
    patterns
        Patterns of the names of each structure.
    label
        Only structure sets and Segmentations of this label count; empty for all.
    approved_only
        Leave out structure sets that nobody approved.
    automatic
        Also take a CTV that was drawn automatically, by its file.
    """

    patterns: Patterns
    label: str = ""
    approved_only: bool = False
    automatic: bool = False


@dataclass(frozen=True)
class _Image:
    case: Case
    identity: ImageIdentity


@dataclass(frozen=True)
class _Usable:
    """A file whose contours count: its ROIs by structure, and for masks without references nothing else."""

    path: Path
    rois: dict[str, str]
    contours: Contours | None = None

    @property
    def ctv(self) -> Roi | None:
        rois = self.contours.rois if self.contours else ()
        return next((roi for roi in rois if roi.name == self.rois.get(CTV)), None)


@dataclass
class _Left:
    """What is left over so far, each file once, and how much of it is damaged or contradicts other files."""

    rows: list[Skipped] = field(default_factory=list)
    failed: int = 0

    def add(self, name: str, reason: str, *, failed: bool = False) -> None:
        row = Skipped(name, reason.rstrip("."))
        if row not in self.rows:
            self.failed += failed
            self.rows.append(row)


def pair_export(exports: Sequence[Path], wanted: Wanted, known: Known | None = None) -> Pairing:
    """Pair the images in an export with their contours.

    A structure set belongs to the image that the contours of its CTV refer to; if they name none, to the one that
    the file refers to, by instances, by series or by frame of reference, if there is just one. It must be of the
    same patient. Of several for one image an approved one counts first, then the newest; rejected ones never count.
    A mask file belongs to the image of the same name, first in the same folder, then in a neighbouring one.

    Parameters
    ----------
    exports
        Files and folders, searched recursively.
    wanted
        Which contours count.
    known
        Cases and patients of earlier runs.

    Raises
    ------
    InputError
        There is no image, or an input does not exist.
    """
    left, usable, holding = _Left(), [], set[InputFile]()
    for path in walked(exports):
        try:
            found = contours_of(path)
        except InputError as error:
            holding.add(path)
            left.add(path.name, str(error), failed=True)
            continue
        if found is False:
            continue
        holding.add(path)
        try:
            usable.append(_usable(path, None if found is True else found, wanted))
        except ProstateSegError as error:
            left.add(path.name, str(error))
    cases, skipped = find_cases(exports, without=holding)
    for one in skipped:
        left.add(one.name, one.reason)
    images = _distinct(cases, left)
    chosen = _chosen(images, _attached(images, usable, left), left)
    paired = [image for image in images if image.identity.key in chosen]
    people = {image.identity.key: _patient(image, chosen[image.identity.key]) for image in paired}
    pairs = []
    for image, (key, (name, patient)) in zip(paired, pseudonyms(people, known).items(), strict=True):
        pairs.append(Pair(name, image.case, key, chosen[key].path, chosen[key].rois, patient, people[key]))
    keys = frozenset(image.identity.key for image in images)
    return Pairing(tuple(pairs), tuple(left.rows), keys, left.failed)


def _usable(path: Path, contours: Contours | None, wanted: Wanted) -> _Usable:
    """Return a file if its contours count. Raise InputError with the reason if they do not."""
    if contours is None:
        names = structure_names(path)
        return _Usable(path, _with_ctv(names, wanted.patterns) if names else {})
    if contours.kind == "probability":
        raise InputError("it holds probabilities, expected a mask")
    if wanted.label and contours.label != wanted.label:
        raise InputError(f"its label is not {shown(wanted.label)}")
    if contours.status == REJECTED:
        raise InputError("it was rejected, by its approval status")
    if wanted.approved_only and contours.kind == "structure-set" and contours.status != APPROVED:
        raise InputError("it is not approved")
    usable = _Usable(path, _with_ctv([roi.name for roi in contours.rois], wanted.patterns), contours)
    if usable.ctv is not None and usable.ctv.automatic and not wanted.automatic:
        raise InputError("its CTV was drawn automatically, by the file; --automatic takes it too")
    return usable


def _with_ctv(names: Sequence[str], patterns: Patterns) -> dict[str, str]:
    found = chosen_rois(names, patterns)
    if CTV not in found:
        listed = ", ".join(shown(name) for name in names[:10]) or "no ROI that encloses an area"
        raise InputError(f"it has no {CTV} ({listed}); name its ROI with --roi '{CTV}=NAME'")
    return found


def _distinct(cases: Sequence[Case], left: _Left) -> list[_Image]:
    """Return the images with their identities; an image that is there twice counts once."""
    images: dict[str, _Image] = {}
    for case in cases:
        try:
            identity = identity_of(case)
        except ProstateSegError as error:
            left.add(case.name, str(error).removeprefix(f"{case.name}: "), failed=True)
            continue
        if identity.key in images:
            left.add(case.name, f"it is the same image as {images[identity.key].case.name}")
        else:
            images[identity.key] = _Image(case, identity)
    return list(images.values())


def _attached(images: Sequence[_Image], usable: Sequence[_Usable], left: _Left) -> dict[str, list[_Usable]]:
    """Return the usable files of each image, by the key of the image."""
    found: dict[str, list[_Usable]] = {}
    for one in usable:
        fitting = _by_name(one.path, images) if one.contours is None else _by_reference(one, images)
        if len(fitting) > 1:
            names = ", ".join(image.case.name for image in fitting[:5])
            left.add(one.path.name, f"it fits {len(fitting)} images ({names}), expected one", failed=True)
        elif not fitting:
            left.add(one.path.name, "it belongs to no image of this export")
        elif one.contours and _differ(one.contours.patient, fitting[0].identity.patient):
            reason = f"it refers to {fitting[0].case.name}, which is of a patient with another ID"
            left.add(one.path.name, reason, failed=True)
        else:
            found.setdefault(fitting[0].identity.key, []).append(one)
    return found


def _by_reference(one: _Usable, images: Sequence[_Image]) -> list[_Image]:
    """Return the images that a file refers to, by the first kind of reference that it has."""
    contours, ctv = one.contours, one.ctv
    assert contours is not None
    kinds: list[tuple[frozenset[str], Callable[[ImageIdentity], frozenset[str]]]] = [
        (ctv.instances if ctv else frozenset(), lambda image: image.instances),
        (contours.instances, lambda image: image.instances),
        (contours.series, lambda image: image.series),
        (frozenset({ctv.place} - {""}) if ctv else frozenset(), lambda image: frozenset({image.place})),
    ]
    for referred, of_image in kinds:
        if referred:
            return [image for image in images if referred & of_image(image.identity)]
    return []


def _by_name(path: Path, images: Sequence[_Image]) -> list[_Image]:
    """Return the images of a mask's name in its folder; without one, those in a neighbouring folder."""
    same = [image for image in images if plain_stem(_place(image.case).name) == plain_stem(path.name)]
    near = [image for image in same if _place(image.case).parent == path.parent]
    if near:
        return near
    around = {path.parent.parent, path.parent}
    return [image for image in same if {_place(image.case).parent, _place(image.case).parent.parent} & around]


def _place(case: Case) -> Path:
    """Return the file of an image, or the folder of a series; a zip counts as a folder."""
    first = case.files[0]
    file = first if isinstance(first, Path) else first.archive / first.at
    return file if len(case.files) == 1 else file.parent


def _chosen(images: Sequence[_Image], of_image: Mapping[str, list[_Usable]], left: _Left) -> dict[str, _Usable]:
    """Return the file that counts for each image: an approved one, then the newest; by the key of the image."""
    chosen = {}
    for image in images:
        ordered = sorted(of_image.get(image.identity.key, []), key=_worth, reverse=True)
        if not ordered:
            left.add(image.case.name, "it has no contours that can be used")
            continue
        chosen[image.identity.key] = ordered[0]
        for other in ordered[1:]:
            left.add(other.path.name, f"{ordered[0].path.name} of the same image is approved or newer")
    return chosen


def _worth(one: _Usable) -> tuple[bool, str]:
    return (one.contours.status == APPROVED, one.contours.made) if one.contours else (False, "")


def _patient(image: _Image, one: _Usable) -> str:
    """Return the Patient ID of an image or its contours; without one each image is its own patient."""
    return image.identity.patient or (one.contours.patient if one.contours else "") or f"image {image.identity.key}"


def _differ(one: str, other: str) -> bool:
    return bool(one and other and one != other)
