"""Segmentation of cases: each case is read, segmented and written on its own."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from ..assessment.assessor import Assessment, boundary_entropy_nats
from ..assessment.facts import Uncertainty
from ..errors import InputError, OutputError
from ..geometry.structures import CTV
from ..geometry.volume import Segmentation, Volume
from ..inference.bundle_info import BundleInfo
from ..inference.monai_start import start_quickly
from ..inference.predictor import Predictor, load_bundle
from ..inference.released import package_versions
from ..reading.acquisition import Acquisition
from ..reading.cases import Case, read, read_case
from ..system.atomic import check_free, replacing_folder
from ..system.half_written import remove_abandoned
from ..system.parallel import in_processes
from ..writing.contoured_volume import Author, ContouredVolume, Kind, mask_warnings
from ..writing.formats import check_source
from ..writing.manifest import Manifest
from ..writing.request import Request, planning_digest
from .earlier_results import (
    check_apart,
    check_made_alike,
    is_replaceable_result,
    is_unchanged_result,
    missing_files,
    segmented_manifest,
)
from .failures import sentence, traceback_of
from .folder import (
    check_several,
    fill_case_folder,
    identity_remark,
    mask_facts,
    stated,
    structure_facts,
    structure_warnings,
    thing_facts,
    with_things,
)
from .hinted import Hinted, hint_facts, hinted
from .options import Options, Outcome
from .plausible import check_size, two_values


def segment(
    image: Any, *, bundle: str | Path | None = None, device: str = "auto", structures: str | Sequence[str] = CTV
) -> Segmentation:
    """Segment one volume. For several volumes, load the bundle only once with ``load_bundle()``.

    Parameters
    ----------
    image
        A Volume, or anything that :func:`prostate_seg.read` takes.
    bundle
        Folder of the bundle. None: the released bundle.
    device, structures
        As for :func:`prostate_seg.load_bundle`.

    Returns
    -------
    Segmentation
        Labels and probability on the image's grid, further structures, ``warnings`` and ``uncertainty``.

    Raises
    ------
    InputError, GeometryError
        The image cannot be read, its geometry is invalid, or there is not exactly one case.
    BundleError
        The bundle cannot be used.
    """
    volume = image if isinstance(image, Volume) else read(image)
    predictor = load_bundle(bundle, device=device, structures=structures)
    ctv, assessment = predictor.assess(volume)
    manifest = describe(volume, ctv, predictor, assessment)
    return replace(ctv, warnings=tuple(manifest["warnings"]), uncertainty=manifest["uncertainty"] or {})


def segment_cases(
    cases: Sequence[Case], load: Callable[[], Predictor], options: Options, *, jobs: int = 1
) -> Generator[Outcome]:
    """Segment cases and yield their outcomes in order.

    Errors of ``load`` are raised before the first case.

    Parameters
    ----------
    cases
        The cases to segment.
    load
        Function that loads the predictor, called once in each process.
    options
        Settings of the segmentation.
    jobs
        Number of processes. For more than one, call this function in the main thread.
    """
    predictor = load()
    options = checked(options, predictor.info)
    ours = {case.name for case in cases} if options.shared else None
    remove_abandoned(options.output, ours)
    jobs = min(jobs, len(cases))
    if jobs <= 1:
        for case in cases:
            yield segment_case(case, predictor, options)
        return
    del predictor
    start = pickle.dumps((_start_worker, (load,)))
    outcomes = in_processes(partial(_in_worker, options=options), cases, jobs, start=(start_quickly, (start,)))
    try:
        for case, outcome in zip(cases, outcomes, strict=True):
            died = InputError("its process died: too little memory, or a decoder crashed; give fewer --jobs.")
            yield outcome or Outcome(case.name, error=sentence(case, died, anonymous=options.anonymous))
    finally:
        outcomes.close()
        remove_abandoned(options.output, ours)


def checked(options: Options, info: BundleInfo) -> Options:
    """Return the settings with the formats that a bundle adds. Raise SettingsError if they do not fit it."""
    if info.structures:
        check_several(options.formats, "--structures")
    options.planning.check_structures([CTV, *info.structures])
    return replace(options, formats=with_things(options.formats, info.things))


def segment_case(case: Case, predictor: Predictor, options: Options) -> Outcome:
    """Read, segment and write one case. A case that fails writes nothing; its outcome holds the error."""
    try:
        return _segmented(case, predictor, options)
    except Exception as error:  # from any library: go on with the other cases
        secret = options.anonymous
        told = sentence(case, error, anonymous=secret, others=options.hints.files)
        return Outcome(case.name, error=told, traceback=traceback_of(error, anonymous=secret))


def _segmented(case: Case, predictor: Predictor, options: Options) -> Outcome:
    folder = options.output / case.name
    replaceable = is_unchanged_result if options.hints.refines else is_replaceable_result
    may_replace = replaceable if options.overwrite else None
    check_apart(folder, case.files)
    if os.path.lexists(folder) and not options.overwrite:
        return _done_before(case, folder, predictor, options)
    check_free(folder, may_replace=may_replace)
    start = time.perf_counter()
    volume = read_case(case, **asdict(options.acquisition))
    check_size(volume)
    check_source(volume, options.formats)
    read_at = time.perf_counter()
    given = hinted(volume, predictor, options.hints, folder) if options.hints else None
    session = given.session if given else None
    ctv, assessment = (session.finished(), session.assessment()) if session else predictor.assess(volume)
    segmented_at = time.perf_counter()
    manifest = describe(volume, ctv, predictor, assessment, acquisition=options.acquisition)
    manifest["timing_s"] = {"read": round(read_at - start, 3), "segment": round(segmented_at - read_at, 3)}
    _complete(manifest, options, given)
    hints = session.hints if session and len(session.hints) else None
    kind: Kind = "SEMIAUTOMATIC" if hints else "AUTOMATIC"
    author = Author(predictor.info.name, predictor.info.version, kind, structures="AUTOMATIC")
    drawn = {name: mask for name, mask in ctv.structures.items() if mask.any()}
    contoured = ContouredVolume(volume, replace(ctv, structures={}), author, drawn)
    try:
        with replacing_folder(folder, may_replace=may_replace, tidy=not options.shared) as partial:
            identity = case.name if options.identify else None
            request = Request(contoured, options.formats, options.planning, manifest, identity)
            manifest["outputs"] = fill_case_folder(partial, request, hints)
    except OutputError:
        if not (options.skip_existing and os.path.lexists(folder)):
            raise
        return _done_before(case, folder, predictor, options)  # by another process in the meantime
    return Outcome(case.name, folder, manifest, notes=given.notes if given else ())


def _complete(manifest: Manifest, options: Options, given: Hinted | None) -> None:
    """Add to a manifest what depends on the options and the hints."""
    if options.anonymous and (remark := identity_remark(options.formats)):
        manifest["warnings"].append(remark)
    if planning := planning_digest(options.planning):
        manifest["planning_sha256"] = planning
    if given and len(given.session.hints):
        manifest["hints"], manifest["drawn"] = hint_facts(given.session, given.steps), "semiautomatic"


def _done_before(case: Case, folder: Path, predictor: Predictor, options: Options) -> Outcome:
    """Return the outcome of a skipped case. Raise OutputError if its folder does not hold the requested results."""
    if not options.skip_existing:
        raise OutputError(
            f"{folder} exists already; give --overwrite to replace it, --skip-existing to count it as done, or "
            "another output folder."
        )
    manifest = segmented_manifest(folder)
    missing = missing_files(folder, options.formats, manifest)
    if manifest is None or missing:
        lacks = " and ".join(missing) or "manifest.json of segment"
        raise OutputError(f"{folder} exists already but has no {lacks}; give --overwrite or another output folder.")
    image = read_case(case, **asdict(options.acquisition)).source.sha256
    info = predictor.info
    check_made_alike(
        folder,
        ("image (or it has changed since)", manifest["input"].get("sha256"), image),
        ("bundle", manifest["bundle"].get("sha256"), info.sha256),
        ("--structures", sorted(manifest.get("structures", {})), sorted(info.structures)),
        ("network of structures", manifest.get("structures_sha256", ""), info.structures_sha256),
        ("network of the urethra", manifest.get("second_look_sha256", ""), info.second_look_sha256),
        ("--structures", sorted(manifest.get("things", {})), sorted(info.things)),
        ("network of things", manifest.get("things_sha256", ""), info.things_sha256),
        ("--frame-spacing, --frame-order or --probe-side", manifest["acquisition"], asdict(options.acquisition)),
    )
    return Outcome(case.name, folder, manifest, skipped=True)


_of_worker: dict[str, Predictor] = {}


def _start_worker(load: Callable[[], Predictor]) -> None:
    _of_worker["predictor"] = load()


def _in_worker(case: Case, options: Options) -> Outcome:
    return segment_case(case, _of_worker["predictor"], options)


def describe(
    volume: Volume,
    ctv: Segmentation,
    predictor: Predictor,
    assessment: Assessment | None = None,
    *,
    acquisition: Acquisition | None = None,
) -> Manifest:
    """Return the manifest of a segmentation, without names, dates or paths. Undefined numbers are null."""
    warnings = list(volume.warnings)
    if volume.array.shape[2] == 1:
        warnings.append("The slice was segmented in 2D, without neighbours.")
    if two_values(volume.array):
        warnings.append("The image has only two gray values, as a mask has; check that it is ultrasound.")
    if not ctv.labels.any():
        warnings.append("No prostate was found: the mask is empty.")
    warnings += mask_warnings(ctv)
    uncertainty: Uncertainty = {"mean_boundary_entropy_nats": boundary_entropy_nats(ctv)}
    if assessment is not None:
        uncertainty = assessment.facts(ctv)
        warnings += assessment.warnings(ctv)
    info = predictor.info
    warnings += structure_warnings(ctv)
    manifest: Manifest = {
        **mask_facts(volume, ctv),
        "acquisition": stated(acquisition or Acquisition()),
        "uncertainty": uncertainty,
        "warnings": warnings,
        "device": str(predictor.device),
        "bundle": {
            "name": info.name,
            "version": info.version,
            "sha256": info.sha256,
            "config_sha256": info.config_sha256,
        },
        "settings": {
            "tta": info.ensembling,
            "refine": info.refine,
            "shape_model_sha256": info.shape_model_sha256,
        },
        "versions": package_versions(),
    }
    if info.structures:
        manifest["structures"] = structure_facts(ctv)
        manifest["structures_sha256"] = info.structures_sha256
    if info.second_look_sha256:
        manifest["second_look_sha256"] = info.second_look_sha256
    if info.things:
        manifest["things"] = thing_facts(ctv, info.things)
        manifest["things_sha256"] = info.things_sha256
    return manifest
