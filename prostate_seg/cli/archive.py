"""Options of ``segment`` for a whole archive: parts, several processes, Ray."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SettingsError
from ..system.digests import sha256_of_file
from .output import note

if TYPE_CHECKING:
    from ..cases.options import Options, Outcome
    from ..cases.parts import Part
    from ..inference.predictor import Predictor
    from ..reading.cases import Case

LOCAL, RAY = "local", "ray"


def engine_options(verb: argparse.ArgumentParser) -> None:
    """Add the options on how many cases are done at a time, and where."""
    verb.add_argument("--jobs", type=int, default=1, metavar="N", help="cases done at a time (default 1)")
    verb.add_argument("--part", metavar="K/N", help="only the Kth of N parts (slurm: of a job array); then merge")
    verb.add_argument("--engine", choices=(LOCAL, RAY), default=LOCAL, help="who runs the jobs (default local)")
    verb.add_argument("--address", metavar="ADDR", help="Ray cluster (default: one is started on this machine)")


def check_engine(options: argparse.Namespace) -> None:
    """Raise SettingsError if Ray is missing, or if its address is given to another engine."""
    if options.engine == RAY:
        from ..cases.ray_engine import check_ray

        check_ray()
        if options.address is not None and options.address.strip() in ("", LOCAL):
            raise SettingsError(
                f"--address is {options.address!r}, expected HOST:PORT or auto; leave it out to start Ray on this "
                "machine."
            )
    elif options.address is not None:
        raise SettingsError(f"--address is that of a Ray cluster; add --engine {RAY}.")


def part_of(options: argparse.Namespace) -> Part | None:
    """Return the part that the options ask for. Raise SettingsError or OutputError."""
    from ..cases.parts import Part, check_record

    if options.part is None:
        return None
    if options.review:
        raise SettingsError("--review is about all cases, --part about some; leave it to prostate-seg merge.")
    part = Part.parse(options.part)
    check_record(options.output, part)
    return part


def outcomes_of(
    cases: Sequence[Case], load: Callable[[], Predictor], wanted: Options, options: argparse.Namespace
) -> Generator[Outcome]:
    """Return the outcomes of the cases, computed by the engine that the options name."""
    if options.engine == RAY:
        from ..cases.ray_engine import Workers, segment_on_ray

        return segment_on_ray(cases, load, wanted, Workers(options.jobs, options.address, options.device))
    from ..cases.segment import segment_cases

    return segment_cases(cases, load, wanted, jobs=options.jobs)


def recorded_outcomes(
    found: Generator[Outcome], part: Part, cases: Sequence[Case], *, wanted: Options, options: argparse.Namespace
) -> Generator[Outcome]:
    """Return the outcomes of a part, which writes its record; ``cases`` are those of the whole archive."""
    from ..cases.parts import Record, recorded

    record = Record.of(part, [case.name for case in cases], _settings(wanted, options))
    note(f"part {part}: {len(record.cases)} of {record.all_cases} cases")
    return recorded(found, record, options.output)


def _settings(wanted: Options, options: argparse.Namespace) -> dict[str, Any]:
    """Return what the results of a case depend on, without paths. Raise BundleError."""
    from ..inference import second_look, structure_network, thing_network
    from ..inference.released import released_bundle, weights_file
    from ..inference.settings import read_settings, settings_digest

    bundle = options.bundle or released_bundle()
    return {
        "formats": sorted(wanted.formats),
        "acquisition": asdict(wanted.acquisition),
        "planning": asdict(wanted.planning),
        "identify": wanted.identify,
        "hints": [options.apex, options.base, [_digest(file) for file in options.hints]],
        "tta": options.tta,
        "refine": not options.no_refine,
        "structures": sorted(name.strip() for name in options.structures.split(",")),
        "shape_model": _digest(options.shape_model),
        "bundle": [_digest(weights_file(bundle, options.weights)), settings_digest(read_settings(bundle))],
        "further": [_digest(bundle / one.WEIGHTS) for one in (structure_network, second_look, thing_network)],
    }


def _digest(file: Path | None) -> str:
    """Return the SHA-256 of a file; empty if there is none, which is refused when the network is loaded."""
    return sha256_of_file(file) if file is not None and file.is_file() else ""
