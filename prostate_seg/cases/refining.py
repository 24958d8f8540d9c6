"""The earlier result of a case that ``refine`` changes: its folder, how it was made, and its mask."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, OutputError, SettingsError
from ..geometry.structures import CTV
from ..geometry.volume import Segmentation
from ..inference.bundle_info import BundleInfo
from ..reading.acquisition import Acquisition
from ..reading.cases import Case, read_case
from ..reading.masks import read_mask
from ..system.digests import sha256_of_file
from ..writing.current_mask import MASKS, source_of
from ..writing.formats import FORMATS
from ..writing.manifest import DIGESTS, HINTS, Manifest, mask_digest
from ..writing.request import Planning, planning_digest
from .anonymous import anonymised
from .earlier_results import result_manifest, segmented_manifest

ACQUISITION = {"frame_spacing_mm": "--frame-spacing", "frame_order": "--frame-order", "probe_side": "--probe-side"}
ROUNDING = 1e-3  # share of a mask's voxels that may come out otherwise on another device


@dataclass(frozen=True)
class Earlier:
    """A finished case: its folder and its manifest."""

    folder: Path
    manifest: Manifest

    @property
    def formats(self) -> tuple[str, ...]:
        """Names of the formats that were written."""
        return tuple(row.name for row in FORMATS.values() if row.file in self.manifest["outputs"])

    @property
    def structures(self) -> tuple[str, ...]:
        """Names of what was segmented."""
        return (CTV, *self.manifest.get("structures", {}), *self.manifest.get("things", {}))

    @property
    def settings(self) -> Mapping[str, Any]:
        """Options that changed the mask; empty if an older version wrote it."""
        return self.manifest.get("settings") or {}

    def acquisition(self, given: Acquisition, *, keep: bool) -> Acquisition:
        """Return how the image was read, with the given options. Raise SettingsError if they differ and must not.

        If ``keep`` is true, hints of the result count, and mean other places if the image is read otherwise.
        """
        before: dict[str, Any] = dict(self.manifest["acquisition"])
        now = {name: value for name, value in asdict(given).items() if value is not None}
        for name, value in now.items():
            if keep and value != before[name]:
                stated = "none" if before[name] is None else before[name]
                raise SettingsError(
                    f"{self.folder} was made with {ACQUISITION[name]} {stated}, got {value}, so its mask and hints "
                    f"would mean other places; leave {ACQUISITION[name]} out, or give --from-scratch."
                )
        return Acquisition(**(before | now))

    def check_alike(self, info: BundleInfo) -> None:
        """Raise OutputError if another bundle, or other settings, made the mask."""
        made, own = self.manifest["bundle"], self.settings
        pairs: list[tuple[str, Any, Any]] = [
            ("the bundle or --weights", made["sha256"], info.sha256),
            ("the settings of the bundle", made["config_sha256"], info.config_sha256),
        ]
        if own:
            pairs.append(("--no-refine", own["refine"], info.refine))
            pairs.append(("--shape-model", own["shape_model_sha256"], info.shape_model_sha256))
            if None not in (own["tta"], info.ensembling):
                pairs.append(("--tta", own["tta"], info.ensembling))
        for what, before, now in pairs:
            if before != now:
                values = f" ({before} then, {now} now)" if what == "--tta" else ""
                raise _otherwise(self.folder, f"{what} differs{values}", self.manifest)

    def check_planning(self, planning: Planning) -> None:
        """Raise SettingsError if contours were written with other settings; the manifest has only a digest."""
        before = self.manifest.get("planning_sha256")
        if before is not None and before != planning_digest(planning):
            raise SettingsError(
                f"{self.folder} holds contours with a margin or other settings; give its --ptv-margin, --margin, "
                "--names and --contour options again, or name the formats with --format."
            )


def earlier_result(output: Path, case: Case, given: Acquisition) -> Earlier | None:
    """Return the result of a case in an output folder, by the digest of its image; None if there is none.

    Raises
    ------
    InputError
        The image cannot be read.
    OutputError
        The folder holds several results of the image, or the case's name is taken by something else.
    """
    manifests = _results(output)
    named = [manifests[name] for name in (case.name, anonymised([case])[0].name) if name in manifests]
    digest = _digest(case, given, named[0] if named else None)
    found = [name for name, manifest in manifests.items() if source_of(manifest) == digest]
    if len(found) > 1 and case.name not in found:
        raise OutputError(
            f"{output} holds several results of this image ({', '.join(sorted(found)[:5])}); move all but one away."
        )
    if not found:
        taken = output / case.name
        if os.path.lexists(taken):
            other = source_of(result_manifest(taken) or {}) not in ("", digest)
            what = "is the result of another image" if other else "is no result of prostate-seg segment"
            raise OutputError(
                f"{taken} {what} and would be lost; rename the image or give another output folder (-o)."
            )
        return None
    name = case.name if case.name in found else found[0]
    earlier = Earlier(output / name, manifests[name])
    _check_masks(earlier)
    return earlier


def named_as(case: Case, earlier: Earlier | None) -> tuple[Case, bool]:
    """Return the case with the name of its folder, and whether this name was made from the content alone."""
    name = earlier.folder.name if earlier else case.name
    return replace(case, name=name), name.startswith(anonymised([case])[0].name)


def written_mask(folder: Path, manifest: Manifest | None) -> Segmentation | None:
    """Return the mask in a case's folder, as it was written; None if the folder holds no mask file.

    Raise OutputError if it was changed since.
    """
    for file in (folder / name for name in MASKS if manifest is not None):
        if file.is_file():
            mask = read_mask(file)
            if manifest is not None and mask_digest(mask) != manifest["ctv_sha256"]:
                raise _by_hand(file)
            return mask
    return None


def check_repeated(folder: Path, manifest: Manifest, mask: Segmentation, *, passes: int, device: str) -> list[str]:
    """Check that a mask is that in a case's folder; return a remark if a few voxels differ by rounding.

    Parameters
    ----------
    folder, manifest
        The earlier result.
    mask
        The mask of its hints, computed again.
    passes, device
        Number of passes, and where they were computed.

    Raises
    ------
    OutputError
        The mask is another one; the text says what may be the reason.
    """
    if mask_digest(mask) == manifest["ctv_sha256"]:
        return []
    before = written_mask(folder, manifest)
    if before is not None and before.labels.shape == mask.labels.shape:
        differing = int(np.count_nonzero(before.mask() != mask.mask()))
        if differing <= ROUNDING * np.count_nonzero(before.mask()):
            return [f"{differing} voxels of the earlier mask came out otherwise, by rounding"]
    count, where = manifest["uncertainty"].get("passes", passes), manifest.get("device", device)
    if count != passes:
        raise _otherwise(folder, f"--tta differs, {count} passes then and {passes} now", manifest)
    if where != device:
        raise _otherwise(folder, f"--device differs, {where} then and {device} now", manifest)
    raise _otherwise(folder, "the version of the software or an option of segment differs", manifest)


def _results(output: Path) -> dict[str, Manifest]:
    if not output.is_dir():
        return {}
    found = {folder.name: segmented_manifest(folder) for folder in sorted(output.iterdir()) if folder.is_dir()}
    return {name: manifest for name, manifest in found.items() if manifest is not None}


def _digest(case: Case, given: Acquisition, named: Manifest | None) -> str:
    """Return the digest of a case's image. What it needs to be read may be known from an earlier result."""
    try:
        return read_case(case, **asdict(given)).source.sha256
    except InputError:
        if named is None:
            raise
        known: dict[str, Any] = {name: value for name, value in asdict(given).items() if value is not None}
        return read_case(case, **{**named["acquisition"], **known}).source.sha256


def _check_masks(earlier: Earlier) -> None:
    """Raise OutputError if a mask file or the hints in the folder were changed."""
    for file in (earlier.folder / name for name in (*MASKS, HINTS)):
        expected = earlier.manifest[DIGESTS].get(file.name)
        if expected and file.is_file() and sha256_of_file(file) != expected:
            raise _by_hand(file)


def _by_hand(file: Path) -> OutputError:
    if file.name == HINTS:
        return OutputError(
            f"{file} was changed since it was written; move it out of the folder and give it by --from-scratch "
            "--hints."
        )
    return OutputError(
        f"{file} was changed since it was written; move it out of the folder and give it by --hints, then it is "
        "compared with the mask that was written."
    )


def _otherwise(folder: Path, what: str, manifest: Manifest) -> OutputError:
    kept = f" (--hints {folder / HINTS} keeps its hints)" if manifest.get("hints") else ""
    name = manifest["bundle"]["name"]
    return OutputError(
        f"The mask in {folder}, made by {name}, would come out otherwise, because {what}; give the options that it "
        f"was made with, or --from-scratch for a new mask{kept}."
    )
