"""Functions that read files of others run in a child process, with limits of time and memory.

Decoders of image formats are native code: a damaged or hostile file makes them abort, loop for ever or take all
memory. Here that ends the child, which the next call starts anew, and becomes an InputError. The child guards
against accidents; it is no sandbox for code that a file might smuggle in.
"""

from __future__ import annotations

import atexit
import os
import pickle
import signal
import struct
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

from ..errors import InputError, ProstateSegError, SettingsError

try:
    import resource
except ImportError:  # Windows has no such limits
    resource = None  # type: ignore[assignment]

Result = TypeVar("Result")

SECONDS, GIGABYTES = "PROSTATE_SEG_READ_SECONDS", "PROSTATE_SEG_READ_GIGABYTES"  # environment variables
SECONDS_PER_BYTE = 1e-6  # what a file may take beyond the limit for its size on disk
MEMORY_PER_BYTE = 4
_LENGTH = struct.Struct("<Q")
_START = "import sys; sys.path[:0] = [sys.argv[1]]; from prostate_seg.system.guard import serve; serve()"


@dataclass(frozen=True)
class Limits:
    """What reading one file may take: wall-clock time in seconds, and memory in GiB (held on Linux)."""

    seconds: float = 10.0
    gigabytes: float = 1.5

    def __post_init__(self) -> None:
        for name, value in (("seconds", self.seconds), ("gigabytes", self.gigabytes)):
            if not 0 < value < 1e6:
                raise SettingsError(f"The limit of {name} for reading is {value:g}, expected more than 0.")

    @classmethod
    def from_environment(cls) -> Limits:
        """The limits in PROSTATE_SEG_READ_SECONDS and PROSTATE_SEG_READ_GIGABYTES. Raises SettingsError."""
        found = []
        for name, default in ((SECONDS, cls.seconds), (GIGABYTES, cls.gigabytes)):
            try:
                found.append(float(os.environ.get(name, default)))
            except ValueError:
                raise SettingsError(f"{name} is {os.environ[name]!r}, expected a number, such as 60.") from None
        return cls(*found)

    def for_bytes(self, count: int) -> Limits:
        """The limits for files of so many bytes on disk: one second and 4 MB more for each megabyte."""
        return Limits(self.seconds + SECONDS_PER_BYTE * count, self.gigabytes + MEMORY_PER_BYTE * count / 2**30)


def guarded(function: Callable[..., Result], *arguments: Any, bytes_on_disk: int = 0) -> Result:
    """Call a module's function in the child process and return what it returns.

    Parameters
    ----------
    function
        A function at the top of a module of this package; arguments and result can be pickled.
    bytes_on_disk
        Size of the files that it reads: large ones may take longer and more memory.

    Raises
    ------
    InputError
        The function ended its process, took longer or more memory than allowed, or failed in a way that no
        reader expects. Errors of this package are raised as they are.
    """
    return _child.call(function, arguments, Limits.from_environment().for_bytes(bytes_on_disk))


class ChildError(Exception):
    """The traceback of the child process, as the cause of an error that is raised in this one."""


class _Child:
    """The child process of this process, started by the first call and after each death."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Start over; a forked copy of this process must not talk to the child of the first."""
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def call(self, function: Callable[..., Any], arguments: tuple[Any, ...], limits: Limits) -> Any:
        with self._lock:
            process = self._running()
            assert process.stdin is not None
            assert process.stdout is not None
            late = threading.Event()

            def end() -> None:
                late.set()
                process.kill()

            timer = threading.Timer(limits.seconds, end)
            timer.daemon = True
            timer.start()
            try:
                with suppress(BrokenPipeError):
                    _write(process.stdin, _packed((pickle.dumps((function, arguments)), limits)))
                succeeded, answer = _receive(process.stdout)
            except EOFError:
                self.stop()
                raise _too_slow(limits) if late.is_set() else _died(limits) from None
            except BaseException:  # Ctrl-C: what it is at is lost
                self.stop()
                raise
            finally:
                timer.cancel()
        if succeeded:
            return answer
        error, trace = answer
        raise error from ChildError(trace)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.stop()
            if not sys.executable:
                raise InputError("files are read by a Python process of their own, and there is no interpreter.")
            place = str(Path(__file__).resolve().parents[1])
            one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # each would reserve memory
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _START, place],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=os.environ | one_thread,
                start_new_session=True,  # Ctrl-C is for this process, which then ends the child
            )
        return self._process

    def stop(self) -> None:
        """End the child, whatever it is doing."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):
                if pipe is not None:
                    pipe.close()


_child = _Child()
atexit.register(_child.stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_child.forget)


def _too_slow(limits: Limits) -> InputError:
    return InputError(
        f"reading took longer than {limits.seconds:.0f} s; the file is damaged, or larger than expected: give "
        "--read-seconds."
    )


def _died(limits: Limits) -> InputError:
    return InputError(
        f"its decoder crashed or took more than {limits.gigabytes:.1f} GB; the file is damaged, or larger than "
        "expected: give --read-gigabytes."
    )


def serve() -> None:
    """Answer calls from standard input on standard output until it is closed. The libraries' own output is lost."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    while _answered(requests, replies):
        pass  # nothing of a call is kept


def _answered(requests: IO[bytes], replies: IO[bytes]) -> bool:
    """Answer one call; False if there is none."""
    try:
        call, limits = _receive(requests)
    except EOFError:
        return False
    try:
        function, arguments = pickle.loads(call)
        _limit(limits)
        reply = _packed((True, function(*arguments)))
    except BaseException as error:
        reply = _packed((False, (_of_this_package(error, limits), traceback.format_exc())))
    finally:
        _limit(None)
    _write(replies, reply)
    return True


def _of_this_package(error: BaseException, limits: Limits) -> ProstateSegError:
    if isinstance(error, ProstateSegError):
        return type(error)(str(error))
    if isinstance(error, MemoryError) or "allocate" in str(error):
        return _died(limits)
    return InputError(f"it cannot be read ({type(error).__name__}); the file is damaged or of an unknown kind.")


def _limit(limits: Limits | None) -> None:
    """Hold this process to limits of memory and of processor time from here on, or to none."""
    if resource is None:
        return
    memory = seconds = resource.RLIM_INFINITY
    if limits is not None and (virtual := _virtual_bytes()):
        used = resource.getrusage(resource.RUSAGE_SELF)
        # The parent watches the clock; this ends a child that outlives its parent in an endless loop.
        seconds = int(used.ru_utime + used.ru_stime + 4 * limits.seconds) + 2
        memory = int(limits.gigabytes * 2**30) + virtual
    for kind, value in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, seconds)):
        _, most = resource.getrlimit(kind)
        bounded = value if most == resource.RLIM_INFINITY or 0 <= value < most else most
        with suppress(ValueError, OSError):  # macOS refuses some
            resource.setrlimit(kind, (bounded, most))


def _virtual_bytes() -> int:
    """Size of this process's address space, 0 if the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _packed(item: Any) -> list[memoryview]:
    """The parts of an item: its pickle, and its arrays without a copy."""
    arrays: list[pickle.PickleBuffer] = []
    parts = [memoryview(pickle.dumps(item, protocol=5, buffer_callback=arrays.append))]
    return parts + [array.raw() for array in arrays]


def _write(stream: IO[bytes], parts: list[memoryview]) -> None:
    """Write the number of parts, then length and bytes of each."""
    stream.write(_LENGTH.pack(len(parts)))
    for part in parts:
        stream.write(_LENGTH.pack(part.nbytes))
        stream.write(part)
    stream.flush()


def _receive(stream: IO[bytes]) -> Any:
    """The item that :func:`_packed` and :func:`_write` sent. Raises EOFError if the stream ends first."""
    parts: list[bytearray] = []
    for _ in range(_length(stream)):
        part = bytearray(_length(stream))
        if _filled(stream, part) < len(part):
            raise EOFError
        parts.append(part)
    return pickle.loads(parts[0], buffers=parts[1:])


def _length(stream: IO[bytes]) -> int:
    head = bytearray(_LENGTH.size)
    if _filled(stream, head) < len(head):
        raise EOFError
    return int(_LENGTH.unpack(head)[0])


def _filled(stream: IO[bytes], part: bytearray) -> int:
    """Bytes of a part that could be read into it."""
    view, done = memoryview(part), 0
    while done < len(part) and (count := stream.readinto(view[done:])):  # type: ignore[attr-defined]
        done += count
    return done
