"""The verb ``segment``: ultrasound in, masks out."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from functools import partial
from textwrap import shorten
from typing import TYPE_CHECKING

from ..errors import InputError, ProstateSegError, SettingsError
from ..geometry.structures import CTV
from ..system.parallel import check_jobs
from ..writing.formats import default_formats
from .archive import RAY, check_engine, engine_options, outcomes_of, part_of, recorded_outcomes
from .common import (
    acquisition_options,
    format_options,
    formats_and_planning,
    hint_options,
    network_options,
    path,
    start_monai,
    structure_names,
)
from .output import (
    DONE,
    NOTHING_DONE,
    SOME_FAILED,
    detail,
    note,
    progress,
    say,
    say_lines,
    show,
    show_json,
)

if TYPE_CHECKING:
    from ..cases.options import HintSource, Outcome
    from ..inference.predictor import Predictor
    from ..reading.cases import Case

HELP = "ultrasound in, CTV mask out"
SHORT = 48  # characters of a note that was printed before
EXAMPLES = (
    "segment STUDY -o OUT",
    "segment COHORT -o OUT --skip-existing --review",
    "segment STUDY -o OUT --format rtstruct,report",
    "segment ARCHIVE -o OUT --part 2/8 --skip-existing",
    "segment sweep.dcm -o OUT --frame-spacing 5 --frame-order base-to-apex --probe-side bottom",
)


def add_options(verb: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    verb.add_argument("inputs", nargs="+", type=path, metavar="INPUT", help="images: files, folders, zips")
    verb.add_argument("-o", "--output", type=path, required=True, help="folder; one sub-folder a case")
    acquisition_options(verb)
    format_options(verb, default=",".join(default_formats()))
    network_options(verb, structures=CTV)
    verb.add_argument("--review", action="store_true", help="review.html: all cases, the most doubtful first")
    verb.add_argument("--anonymous-names", action="store_true", help="name case folders by a hash of the input")
    hint_options(verb)
    engine_options(verb)
    existing = verb.add_mutually_exclusive_group()
    existing.add_argument("--overwrite", action="store_true", help="replace results that nobody changed since")
    existing.add_argument("--skip-existing", action="store_true", help="leave finished cases: they count as done")
    verb.add_argument("--json", action="store_true", help="results as JSON on stdout")


def run(options: argparse.Namespace) -> int:
    """Segment ultrasound images and write the masks."""
    from ..cases.anonymous import anonymised
    from ..cases.folder import identity_remark
    from ..cases.options import HintSource, Options
    from ..reading.acquisition import Acquisition
    from ..system.atomic import check_writable

    formats, planning = formats_and_planning(options)
    acquisition = Acquisition(options.frame_spacing, options.frame_order, options.probe_side)
    check_jobs(options.jobs)
    check_engine(options)
    part = part_of(options)
    cases, skipped = _found(options)
    hints = HintSource(apex=options.apex, base=options.base, files=tuple(options.hints))
    _check_hints(hints, cases, options)
    check_writable(options.output)
    _check_review(options)
    wanted = Options(
        options.output,
        formats,
        acquisition,
        planning,
        overwrite=options.overwrite,
        skip_existing=options.skip_existing,
        anonymous=options.anonymous_names,
        identify=options.identify,
        shared=part is not None or options.engine == RAY,
        hints=hints,
    )
    named = anonymised(cases) if options.anonymous_names else cases
    remark = identity_remark(formats) if options.anonymous_names else ""
    if remark:
        note(f"note: {remark}")
    given = named if part is None else part.share(named)
    start_monai(options)
    found = outcomes_of(given, _loading(options), wanted, options)
    if part is not None:
        found = recorded_outcomes(found, part, named, wanted=wanted, options=options)
    begun = time.monotonic()
    outcomes, interrupted = _finished(found, given, options, remark)
    if len(given) > 1:
        note(_summary(outcomes, len(given), time.monotonic() - begun))
    if options.json:
        show_json({"cases": [outcome.as_json() for outcome in outcomes], "skipped": skipped})
    reviewed = _review(outcomes, options) if options.review else True
    failed = [outcome for outcome in outcomes if outcome.error]
    if failed and len(failed) == len(outcomes) and not interrupted:
        return NOTHING_DONE
    return SOME_FAILED if failed or interrupted or not reviewed else DONE


def _finished(
    found: Generator[Outcome], cases: Sequence[Case], options: argparse.Namespace, remark: str
) -> tuple[list[Outcome], bool]:
    """Report the outcomes; return them in the order of the cases, and whether the run was interrupted.

    The ``remark`` was printed before.
    """
    told = {remark: ""}
    outcomes: list[Outcome] = []
    interrupted = False
    with closing(found):
        try:
            with progress(len(cases), "case") as done:
                for outcome in found:
                    outcomes.append(outcome)
                    _report(f"[{len(outcomes)}/{len(cases)}] ", outcome, options, told)
                    done(len(outcomes))
        except KeyboardInterrupt:
            interrupted = True
            say("prostate-seg: interrupted; finished cases are kept.")
    place = {case.name: number for number, case in enumerate(cases)}
    return sorted(outcomes, key=lambda outcome: place[outcome.case]), interrupted


def _loading(options: argparse.Namespace) -> Callable[[], Predictor]:
    """Return a function that loads the bundle of the options; it can be passed to other processes."""
    from ..inference.predictor import load_bundle

    return partial(
        load_bundle,
        options.bundle,
        weights=options.weights,
        device=options.device,
        ensembling=options.tta,
        refine=not options.no_refine,
        shape_model=options.shape_model,
        structures=structure_names(options.structures),
    )


def _check_hints(hints: HintSource, cases: Sequence[Case], options: argparse.Namespace) -> None:
    """Raise SettingsError if hints are given for several cases, or for cases that were done before."""
    if hints and len(cases) > 1:
        raise SettingsError(
            f"--apex, --base and --hints belong to one case, got {len(cases)}; segment the cases one by one."
        )
    if hints and options.skip_existing:
        raise SettingsError("--skip-existing leaves a case as it is, hints change it; give one of them.")


def _check_review(options: argparse.Namespace) -> None:
    """Raise OutputError, before anything is computed, if a foreign review.html would be replaced."""
    if options.review:
        from ..report import check_review

        check_review(options.output)


def _found(options: argparse.Namespace) -> tuple[list[Case], list[dict[str, str | None]]]:
    """Return the cases in the inputs and the skipped files; print these, without names if anonymous."""
    from ..reading.cases import find_cases

    anonymous = options.anonymous_names
    try:
        cases, skipped = find_cases(options.inputs)
    except InputError:
        if not anonymous:
            raise
        raise InputError(
            f"Nothing to segment in the {len(options.inputs)} inputs; expected ultrasound DICOM, NIfTI, NRRD or "
            "MetaImage. Without --anonymous-names the reason names the files."
        ) from None
    except Exception as error:
        if not anonymous:
            raise
        raise InputError(
            f"Searching the {len(options.inputs)} inputs failed (unexpected {type(error).__name__}); without "
            "--anonymous-names the reason is told."
        ) from None
    for entry in skipped:
        note(f"skipped{'' if anonymous else f' {entry.name}'}: {entry.reason}")
    return cases, [{"name": None if anonymous else entry.name, "reason": entry.reason} for entry in skipped]


def _report(place: str, outcome: Outcome, options: argparse.Namespace, told: dict[str, str]) -> None:
    """Print the outcome of a case.

    ``told`` holds the warnings so far and the first case of each. A repeated one is printed in short. One that was
    printed before the first case (its case is empty) is not printed again.
    """
    if outcome.manifest is None or outcome.folder is None:
        say(f"{place}failed: {outcome.error}")
        if options.debug:
            say_lines(outcome.traceback)
        return
    volume = outcome.manifest["volume_ml"]
    found = "one slice" if volume is None else f"{volume:.1f} mL"
    skipped = "done before, skipped, " if outcome.skipped else ""
    note(f"{place}{outcome.case}: {skipped}{found} -> {outcome.folder}")
    for remark in outcome.notes:
        note(f"  note: {remark}")
    for warning in outcome.manifest["warnings"]:
        before = told.setdefault(warning, outcome.case)
        if not before:
            continue
        again = f"{shorten(warning, SHORT, placeholder=' ...')} (as {before})"
        note(f"  note: {warning if before == outcome.case else again}")
    for name, seconds in ({} if outcome.skipped else outcome.manifest.get("timing_s", {})).items():
        detail(f"  {name}: {seconds:.1f} s")
    if not options.json:
        for file in outcome.manifest["outputs"]:
            show(outcome.folder / file)


def _summary(outcomes: list[Outcome], asked: int, seconds: float) -> str:
    """Return one line on a cohort."""
    failed = sum(bool(outcome.error) for outcome in outcomes)
    skipped = sum(outcome.skipped for outcome in outcomes)
    warned = sum(bool(outcome.manifest and outcome.manifest["warnings"]) for outcome in outcomes)
    counts = (
        (len(outcomes) - failed - skipped, "segmented"),
        (skipped, "done before"),
        (failed, "failed"),
        (asked - len(outcomes), "not begun"),
    )
    parts = ", ".join(f"{count} {what}" for count, what in counts if count)
    return f"{asked} cases in {seconds:.0f} s: {parts}; {warned} with notes"


def _review(outcomes: list[Outcome], options: argparse.Namespace) -> bool:
    """Write the review page of this run. If that fails, print the error and return False."""
    from ..report import write_review

    manifests = {outcome.case: outcome.manifest for outcome in outcomes if outcome.manifest}
    if not manifests:
        return True
    try:
        written = write_review(options.output, manifests)
    except ProstateSegError as error:
        say(f"prostate-seg: the cases are done, but not the review: {error}")
        return False
    for file in written:
        note(f"review: {file}")
    return True
