"""Options that several verbs share."""

from __future__ import annotations

import argparse
import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import SettingsError
from ..geometry.structures import CTV
from ..writing.formats import FORMATS
from .output import say

if TYPE_CHECKING:
    from ..geometry.margin import Margin
    from ..writing.request import Planning

USAGE_ERROR = 2


class Parser(argparse.ArgumentParser):
    """Parser that accepts only full option names and prints errors as one sentence."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Print the error and exit with status 2."""
        say(f"{self.prog}: {message}; see {self.prog} --help.")
        self.exit(USAGE_ERROR)


def start_monai(options: argparse.Namespace) -> None:
    """Import MONAI as a process that only segments can, unless another program called the verb."""
    from ..inference.monai_start import import_monai

    if options.is_program:
        import_monai()


def examples(commands: Sequence[str]) -> str:
    """Return the last part of a verb's help: commands to copy."""
    return "\n".join(["examples:", *(f"  prostate-seg {command}" for command in commands)])


def path(text: str) -> Path:
    """Return a path that a file can have. Raises ArgumentTypeError."""
    if not text:
        raise argparse.ArgumentTypeError("a path is empty; give one")
    for part in (text, *Path(text).parts):  # the system checks no name below a missing folder
        try:
            os.lstat(part)
        except (OSError, ValueError) as error:
            if isinstance(error, ValueError) or error.errno == errno.ENAMETOOLONG:
                raise argparse.ArgumentTypeError(
                    f"a path of {len(text)} characters has a name that no file can have; give a shorter one"
                ) from error
    return Path(text)


def acquisition_options(verb: argparse.ArgumentParser) -> None:
    """Add what the files may leave open."""
    verb.add_argument("--frame-spacing", type=float, metavar="MM", help="of frames, where the file has none")
    verb.add_argument("--frame-order", choices=("base-to-apex", "apex-to-base"))
    verb.add_argument("--probe-side", choices=("bottom", "top"), help="where the probe is in the image")


def format_options(verb: argparse.ArgumentParser, *, default: str | None, earlier: bool = False) -> None:
    """Add the formats, and their table below the help. The default may be those of an earlier result."""
    told = "" if default is None else f" (default: {default})"
    told = " (default: as before)" if earlier else told
    verb.add_argument(
        "--format",
        default=default,
        required=default is None and not earlier,
        help=f"comma-separated, of those below{told}",
    )
    width = max(map(len, FORMATS))
    rows = [f"  {row.name:{width}}  {row.file:20}  {row.about}" for row in FORMATS.values()]
    verb.epilog = "\n".join(["formats:", *rows])
    verb.add_argument("--identify", action="store_true", help="report and planimetry name case and patient")
    verb.add_argument("--ptv-margin", metavar="MM", help="add a PTV to rtstruct: 3, or 3,posterior=0")
    verb.add_argument(
        "--margin",
        action="append",
        default=[],
        metavar="NAME=MM",
        help="add a structure with a margin to rtstruct: Urethra=2; may be repeated",
    )
    verb.add_argument("--names", metavar="tg263|FILE", help="names of the ROIs in rtstruct (FILE: JSON)")
    verb.add_argument(
        "--contour-tolerance", type=float, metavar="MM", help="fewer points in rtstruct, moved at most so far"
    )
    verb.add_argument("--contour-every", type=float, metavar="MM", help="contours in rtstruct only so far apart")
    verb.add_argument(
        "--rtstruct-reference",
        choices=("source", "us-series", "ct-series"),
        help="images that rtstruct refers to (default: a derived series where one is written too)",
    )


def _named_margins(texts: Sequence[str]) -> dict[str, Margin]:
    """Return the margins of ``NAME=MM`` by name. Raise SettingsError."""
    from ..geometry.margin import Margin
    from ..geometry.structures import key

    found: dict[str, Margin] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name:
            raise SettingsError(f"--margin is {text!r}, expected a structure and mm, such as Urethra=2.")
        if key(name) == key(CTV):
            raise SettingsError(f"--margin is {text!r}; a margin of the {CTV} is a PTV, give it by --ptv-margin.")
        if key(name) in map(key, found):
            raise SettingsError(f"--margin gives {name} twice; give each structure one margin.")
        found[name] = Margin.parse(value)
    return found


def network_options(verb: argparse.ArgumentParser, *, structures: str | None) -> None:
    """Add what changes the mask. If ``structures`` is None, an earlier result says what is left open."""
    before = "as before, or " if structures is None else ""
    verb.add_argument(
        "--tta",
        choices=("none", "flip", "full"),
        help=f"ensembling; none: one pass, for things too (default: {before}the bundle's)",
    )
    verb.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    verb.add_argument("--bundle", type=path, help="bundle folder (default the released one)")
    verb.add_argument("--weights", default="released", help="released (default), phantoms or a file of weights")
    verb.add_argument(
        "--structures",
        default=structures,
        metavar="NAMES",
        help=f"{CTV} ({'default' if structures else 'default: as before'}), all, or names by commas, also "
        "needle,seed,calcification (all is without these); further structures were learnt on phantoms",
    )
    verb.add_argument("--no-refine", action="store_true", help="leave blurred edges as the network drew them")
    verb.add_argument("--shape-model", type=path, metavar="FILE", help="instead of the bundle's own")


def structure_names(text: str) -> tuple[str, ...]:
    """Return the names of a comma-separated list. Raise SettingsError if there is none."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise SettingsError(f"--structures has nothing, expected {CTV}, all, or names separated by commas.")
    return names


def limit_options(verb: argparse.ArgumentParser) -> None:
    """Add the limits of reading."""
    limits = verb.add_argument_group("limits of reading one file", "a large file may take more by its size")
    limits.add_argument("--read-seconds", type=float, metavar="S", help="time (default 10)")
    limits.add_argument("--read-gigabytes", type=float, metavar="GB", help="memory (default 1.5)")


def formats_and_planning(options: argparse.Namespace) -> tuple[tuple[str, ...], Planning]:
    """Return the formats and the planning of the options. Raises SettingsError."""
    from ..cases.folder import check_identity
    from ..geometry.margin import Margin
    from ..writing.formats import chosen_formats
    from ..writing.request import Planning
    from ..writing.roi_names import RoiNames

    formats = chosen_formats(options.format)
    margin = None if options.ptv_margin is None else Margin.parse(options.ptv_margin)
    planning = Planning(
        margin,
        _named_margins(options.margin),
        RoiNames.of(options.names) if options.names is not None else RoiNames(),
        options.contour_tolerance,
        options.contour_every,
        options.rtstruct_reference,
    )
    planning.check(formats)
    anonymous = bool(getattr(options, "anonymous_names", False))
    check_identity(formats, identify=options.identify, anonymous=anonymous)
    return formats, planning


def hint_options(verb: argparse.ArgumentParser) -> None:
    """Add where hints come from."""
    verb.add_argument("--apex", type=int, metavar="SLICE", help="last slice with gland, as the case page counts")
    verb.add_argument("--base", type=int, metavar="SLICE", help="last slice with gland at the other end")
    verb.add_argument(
        "--hints",
        action="append",
        default=[],
        type=path,
        metavar="FILE",
        help="hints.json, markups of 3D Slicer (.mrk.json), a corrected mask or a structure set; several in order",
    )
