"""Damages valid files without end and holds every reader to its promise: a sentence of ours, soon.

    python tests/fuzz.py --seconds 60                       # every format
    python tests/fuzz.py --seconds 60 --format nifti --seed 1 --keep found
    python tests/fuzz.py --again found/nifti-3 --format nifti

One line a format: how many files were tried, accepted and refused, and the findings: the process died, a call took
more than 10 s, memory (of the process and its children) rose above 2 GB, an exception that is no ProstateSegError,
or an impossible result. A finding is named once, by its exception and our innermost line; its files are kept under
--keep. Exit 1 if there are any. The same seed tries the same files. Each format runs in a process of its own, which
is started again after its death. Not collected by pytest.
"""

import argparse
import faulthandler
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from random import Random

import psutil

LIMIT_S, LIMIT_BYTES = 10.0, 2 << 30
CEILING_BYTES = 8 << 30  # of address space, so that the machine survives
START_S = 120.0  # for libraries and seeds, before the first call
TOO_MUCH = 77  # exit status of a child that had more memory than it should
PACKAGE = "prostate_seg"


@dataclass
class Tried:
    """What became of the files of one format; kinds: findings by what they are, with the first file's folder."""

    counts: Counter[str] = field(default_factory=Counter)
    kinds: dict[str, str] = field(default_factory=dict)
    times: Counter[str] = field(default_factory=Counter)

    def line(self, name: str) -> str:
        runs = sum(self.counts.values())
        told = f"{name}: {runs} runs, {self.counts['accepted']} accepted, {self.counts['refused']} refused, "
        told += f"{len(self.kinds)} findings"
        return "\n".join(
            [told, *(f"  {self.times[kind]} x {kind} [{first}]" for kind, first in self.kinds.items())]
        )


def fuzz(name: str, options: argparse.Namespace) -> Tried:
    """Run children until the time is over; each begins where the one before died."""
    tried, start = Tried(), time.monotonic()
    first = 0
    with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
        while (left := options.seconds - (time.monotonic() - start)) > 0:
            told = child(name, Path(place), (options.seed, first, left))
            for number, outcome in told:
                tried.counts[outcome if outcome in ("accepted", "refused") else "found"] += 1
                if outcome not in ("accepted", "refused"):
                    note(tried, outcome, f"{name}-{number}", Path(place), options.keep)
                first = number + 1
    return tried


def note(tried: Tried, kind: str, label: str, place: Path, keep: Path | None) -> None:
    """Count a finding; keep the files of the first of its kind."""
    tried.times[kind] += 1
    if kind in tried.kinds:
        return
    tried.kinds[kind] = label
    if keep is not None and (kept := place / "found" / label.rpartition("-")[2]).exists():
        keep.mkdir(parents=True, exist_ok=True)
        shutil.copytree(kept, keep / label, dirs_exist_ok=True)


def child(name: str, place: Path, work: tuple[int, int, float]) -> list[tuple[int, str]]:
    """Run one child to its end; the number and outcome of each file, the last by how it died if it did."""
    log, errors = place / "log", place / "errors"
    log.write_text("")
    command = [sys.executable, __file__, "--child", name, str(place), *map(str, work)]
    with errors.open("wb") as stderr:
        process = subprocess.Popen(command, stderr=stderr, stdout=stderr, start_new_session=True)
        too_much = watched(process)
    lines = [line.partition(" ") for line in log.read_text().splitlines()]
    if process.returncode not in (0, TOO_MUCH):
        said = errors.read_text(errors="replace")
        if not lines or lines[-1][2]:
            raise SystemExit(f"{name}: the fuzz process does not start, or ends by itself:\n{said[-3000:]}")
        kind = "memory above 2 GB" if too_much else "longer than 10 s" if "Timeout" in said else death(process)
        lines[-1] = (lines[-1][0], " ", f"{kind} in {innermost(said)}")
        (place / "found").mkdir(exist_ok=True)
        (place / "case").rename(place / "found" / lines[-1][0])
    return [(int(number), outcome) for number, _, outcome in lines]


def death(process: subprocess.Popen[bytes]) -> str:
    code = process.returncode
    return f"death by {signal.Signals(-code).name}" if code < 0 else f"exit {code}"


def watched(process: subprocess.Popen[bytes]) -> bool:
    """Wait for a process; end it and its children where they hold too much memory. Whether they did."""
    too_much = False
    try:
        while process.poll() is None and not too_much:
            time.sleep(0.05)
            too_much = memory(process.pid) > LIMIT_BYTES
        if too_much:
            process.send_signal(signal.SIGUSR1)  # tells on stderr where it is
            time.sleep(0.2)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its children too, also those of one that died
        process.wait()
    return too_much


def memory(pid: int) -> int:
    """Bytes of a process and its children that are in memory."""
    total = 0
    with suppress(psutil.Error):  # one has just ended
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            total += process.memory_info().rss
    return total


def innermost(said: str) -> str:
    """Our innermost line in what faulthandler told."""
    found = re.search(rf'File "[^"]*{PACKAGE}/([^"]*)", line (\d+) in (\w+)', said)
    return f"{found[1]}:{found[2]} {found[3]}" if found else "no line of ours"


def inner_line(error: BaseException) -> str:
    ours = [frame for frame in traceback.extract_tb(error.__traceback__) if f"/{PACKAGE}/" in frame.filename]
    if not ours:
        return "no line of ours"
    return f"{ours[-1].filename.rpartition(f'/{PACKAGE}/')[2]}:{ours[-1].lineno} {ours[-1].name}"


def run_child(name: str, place: Path, work: tuple[int, int, float]) -> None:
    """Try files; write number and outcome of each to ``place/log``, those of findings to ``place/found``."""
    from fuzz_mutations import SECRET, mutated
    from fuzz_seeds import FORMATS, put
    from fuzz_targets import SECRET_BYTES, target

    seed, number, seconds = work
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1)
    faulthandler.dump_traceback_later(START_S, exit=True)
    seeds, call = FORMATS[name](), target(name)
    (place / SECRET).write_bytes(SECRET_BYTES)
    for valid in seeds:
        call(put(valid, place / "case"))  # loads the libraries, and a seed that is refused is no seed
    resource.setrlimit(resource.RLIMIT_AS, (CEILING_BYTES, CEILING_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    end = time.monotonic() + seconds
    with (place / "log").open("wb", buffering=0) as log:
        while time.monotonic() < end:
            random = Random(f"{name} {seed} {number}")
            damaged, _ = mutated(random.choice(seeds), random)
            file = put(damaged, place / "case")
            log.write(f"{number} ".encode())
            faulthandler.dump_traceback_later(LIMIT_S, exit=True)
            outcome = outcome_of(call, file)
            faulthandler.cancel_dump_traceback_later()
            peak = max(
                resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
            )
            if peak > LIMIT_BYTES:
                outcome = "memory above 2 GB for a moment"
            log.write(f"{outcome}\n".encode())
            if outcome not in ("accepted", "refused"):
                put(damaged, place / "found" / str(number))
            if peak > LIMIT_BYTES:
                os._exit(TOO_MUCH)
            number += 1


def outcome_of(call: Callable[[Path], None], file: Path) -> str:
    from fuzz_targets import Wrong

    from prostate_seg.errors import ProstateSegError

    try:
        call(file)
        return "accepted"
    except ProstateSegError as error:
        return "refused" if "\n" not in str(error) else f"a sentence of several lines in {inner_line(error)}"
    except Wrong as error:
        return f"accepted with {error}"
    except BaseException as error:
        kind = f"{type(error).__module__}.{type(error).__name__}".removeprefix("builtins.")
        return f"{kind} in {inner_line(error)}"


def again(folder: Path, name: str) -> None:
    """Call the reader with a kept file, in this process, with the traceback."""
    from fuzz_seeds import FORMATS
    from fuzz_targets import target

    names = {name for seed in FORMATS[name]() for name in list(seed)[:1]}
    (file,) = (folder / first for first in names if (folder / first).exists())
    faulthandler.enable()
    faulthandler.dump_traceback_later(LIMIT_S, exit=True)
    target(name)(file)


def main() -> int:
    if sys.argv[1:2] == ["--child"]:
        name, place, seed, first, seconds = sys.argv[2:]
        run_child(name, Path(place), (int(seed), int(first), float(seconds)))
        return 0
    from fuzz_seeds import FORMATS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--format", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--seconds", type=float, default=60, help="for each format")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="formats at once")
    parser.add_argument("--keep", type=Path, help="folder for the files of findings")
    parser.add_argument("--again", type=Path, help="one of these: read it once more")
    options = parser.parse_args()
    if options.again:
        again(options.again, options.format[0])
        return 0
    found = False
    with ThreadPoolExecutor(options.jobs) as pool:
        for name, tried in zip(options.format, pool.map(fuzz, options.format, repeat(options)), strict=True):
            print(tried.line(name), flush=True)
            found = found or bool(tried.kinds)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
