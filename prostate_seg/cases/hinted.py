"""Cases that are segmented with hints: where the hints come from, and what they changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from ..correction.placed import check_image
from ..errors import GeometryError, InputError, SettingsError
from ..geometry.hints import Contour, End, Hint, Hints, Plane, kind_of
from ..geometry.slice_hints import plane_after, slices_of
from ..geometry.volume import Segmentation, Volume
from ..inference.predictor import Predictor
from ..reading.hints import hint_file_kind, read_corrected, read_hints
from ..writing.manifest import HINTS, HintFacts, Manifest, mask_digest
from .earlier_results import segmented_manifest
from .options import HintSource
from .refining import check_repeated, written_mask
from .session import Session


@dataclass(frozen=True, eq=False)
class Hinted:
    """A session with the hints of a source, the numbers of hints after each run so far, and remarks."""

    session: Session
    steps: tuple[int, ...]
    notes: tuple[str, ...]


def hinted(volume: Volume, predictor: Predictor, source: HintSource, folder: Path) -> Hinted:
    """Segment a volume and give it the hints of a source.

    Parameters
    ----------
    volume, predictor
        As for :class:`Session`.
    source
        Where the hints come from.
    folder
        The case's folder, for earlier hints and the mask that was corrected.

    Raises
    ------
    InputError, GeometryError
        A file holds no hints, or they do not fit the volume or each other.
    OutputError
        The mask in the folder was changed, or the session does not repeat it.
    SettingsError
        More hints are to be taken back than there are, or a slice does not exist.
    """
    manifest = segmented_manifest(folder)
    if manifest is not None and manifest["input"]["sha256"] != volume.source.sha256:
        manifest = None  # the result of another image, which segment --overwrite replaces
    earlier = _earlier(volume, source, folder)
    if source.earlier and manifest is not None and "hints" in manifest and not len(earlier):
        raise InputError(
            f"{folder} obeys hints, but its {HINTS} is gone; put it back, or begin anew by --from-scratch."
        )
    with _remedy(len(earlier), folder):
        session = Session(volume, predictor, earlier if len(earlier) else None)
    notes: list[str] = []
    if source.earlier and manifest is not None:
        passes, device = len(session.prediction.passes), str(predictor.device)
        notes += check_repeated(folder, manifest, session.segmentation, passes=passes, device=device)
    history = _History(session, earlier, source.undo, folder=folder, manifest=manifest)
    given: list[Hint] = [*_planes(volume, source)]
    for file in source.files:
        found, remarks = history.read(file)
        given, notes = [*given, *found], [*notes, *remarks]
    items = _without_repeats(history.kept, given)
    if repeated := len(history.kept) + len(given) - len(items):
        notes.append(f"{repeated} of {len(given)} hints are repeated and change nothing")
    with _remedy(len(history.kept), folder):
        session.restart(Hints(items, volume.source.sha256))
    return Hinted(session, history.steps_to(len(items)), tuple(notes))


def _earlier(volume: Volume, source: HintSource, folder: Path) -> Hints:
    """Return the hints in a case's folder if they count; none if there is no file."""
    kept = folder / HINTS
    if not source.earlier or not kept.exists():
        if source.undo:
            raise SettingsError(
                f"There are no earlier hints to take back, {kept} does not exist; leave --undo out."
            )
        return Hints()
    hints = read_hints(kept, volume)
    check_image(hints, volume)
    if source.undo > len(hints):
        raise SettingsError(
            f"--undo is {source.undo}, expected at most {len(hints)}: {folder.name} has no more earlier hints."
        )
    return hints


def _without_repeats(kept: tuple[Hint, ...], given: Sequence[Hint]) -> tuple[Hint, ...]:
    """Return the kept hints and those of the given ones that change what counts.

    Of several planes of an end, and of several contours of a slice, the last one counts.
    """
    items = kept
    for hint in given:
        if isinstance(hint, Plane):
            repeated = hint == next((one for one in reversed(items) if _is_plane(one, hint.end)), None)
        else:
            repeated = hint in items and not isinstance(hint, Contour)
        items = items if repeated else (*items, hint)
    return items


def _is_plane(hint: Hint, end: End) -> bool:
    return isinstance(hint, Plane) and hint.end == end


class _History:
    """The masks of a case after each run so far, by the number of hints: a mask file was drawn on one of them."""

    def __init__(
        self, session: Session, earlier: Hints, undo: int, *, folder: Path, manifest: Manifest | None
    ) -> None:
        self.session, self.folder, self.manifest, self.earlier = session, folder, manifest, earlier
        self.kept: tuple[Hint, ...] = earlier.items[: len(earlier) - undo]
        facts = manifest.get("hints") if manifest else None
        self.written = facts["count"] if facts else 0  # hints that the mask in the folder obeys
        self.steps = facts.get("steps", []) if facts else []

    def steps_to(self, count: int) -> tuple[int, ...]:
        """Return the numbers of hints after each run, this one included."""
        now = len(self.kept)
        return tuple(sorted({step for step in (*self.steps, now, count) if 0 < step <= now or step == count} - {0}))

    def _in_folder(self) -> Segmentation:
        """Return the mask in the folder as it was written, or the computed one if it is the same."""
        mask = written_mask(self.folder, self.manifest) or self.session.segmentation
        if self.manifest is not None and mask_digest(mask) != self.manifest["ctv_sha256"]:
            raise InputError(
                f"{self.folder} holds no mask that a corrected one could be compared with; segment the case again "
                "with --format seg-nrrd, and correct that mask."
            )
        return mask

    @cached_property
    def masks(self) -> dict[int, Segmentation]:
        """The masks, that in the folder first."""
        found = {self.written: self._in_folder()}
        last = self.session.hints
        for count in {0, len(self.kept), *(step for step in self.steps if step < len(self.earlier))} - {*found}:
            found[count] = self.session.restart(replace(last, items=self.earlier.items[:count]))
        self.session.restart(last)
        return found

    def read(self, file: Path) -> tuple[tuple[Hint, ...], list[str]]:
        """Return the hints of a file, and remarks on them."""
        volume = self.session.volume
        if hint_file_kind(file) != "mask":
            hints = read_hints(file, volume, self.session.segmentation)
            check_image(hints, volume)
            if not hints.items:
                raise InputError(f"{file.name} holds no hint; give a file with at least one.")
            return hints.items, []
        hints, index = read_corrected(file, volume, list(self.masks.values()))
        count, slices = list(self.masks)[index], slices_of(volume).count
        if count not in (self.written, len(self.kept)):
            raise InputError(
                f"{file.name} was drawn on an earlier mask, which obeyed {count} of the {self.written} hints; "
                f"correct the mask in {self.folder}, or take the later hints back by --undo {self.written - count}."
            )
        if not hints.items:
            raise InputError(f"The mask {file.name} does not differ from that of the case; correct a slice.")
        return hints.items, [f"{len(hints)} of {slices} slices were corrected"]


def _planes(volume: Volume, source: HintSource) -> tuple[Plane, ...]:
    ends: Sequence[tuple[End, int | None]] = (("apex", source.apex), ("base", source.base))
    return tuple(_plane(volume, end, number) for end, number in ends if number is not None)


def _plane(volume: Volume, end: End, number: int) -> Plane:
    slices = slices_of(volume)
    if not 1 <= number <= slices.count:
        raise InputError(
            f"--{end} is slice {number}, expected 1 to {slices.count}, the slices of the image; give the number "
            "that the case page shows."
        )
    return plane_after(volume, end, slices.index(number))


@contextmanager
def _remedy(earlier: int, folder: Path) -> Iterator[None]:
    """Add to an error on hints that contradict each other what ``refine`` can do about earlier ones."""
    try:
        yield
    except GeometryError as error:
        if not earlier:
            raise
        which = "hint 1 is that" if earlier == 1 else f"hints 1 to {earlier} are those"
        raise GeometryError(
            f"{str(error).removesuffix('.')} ({which} of {folder / HINTS}: --undo N takes back the last N, "
            "--from-scratch --hints FILE takes an edited copy)."
        ) from error


def hint_facts(session: Session, steps: Sequence[int] = ()) -> HintFacts:
    """Return the manifest's entry on the hints of a session; steps are the numbers of hints after each run."""
    before, after = session.prediction.segmentation, session.segmentation
    mean, largest = session.moved_mm if before.labels.any() and after.labels.any() else (None, None)
    single = session.volume.array.shape[2] == 1
    facts: HintFacts = {
        "count": len(session.hints),
        "kinds": [kind_of(hint) for hint in session.hints.items],
        "volume_before_ml": None if single else round(before.volume_ml, 3),
        "moved_mm": {
            "mean": None if mean is None else round(mean, 3),
            "largest": None if largest is None else round(largest, 3),
        },
    }
    if session.network is not None and session.current.answered:
        facts["network_sha256"] = session.network.sha256
    if steps:
        facts["steps"] = list(steps)
    return facts
