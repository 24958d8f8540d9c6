"""A child process, with limits on time and memory, for functions that read input files.

Image decoders are native code. A damaged or malicious file can make them abort, loop forever or use all memory.
Then only the child process ends: the caller gets an InputError, and the next call starts a new child. This
protects against accidents. It is not a sandbox: it does not stop malicious code in a file.
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
except ImportError:  # Windows has no resource module
    resource = None  # type: ignore[assignment]

Result = TypeVar("Result")

SECONDS, GIGABYTES = "PROSTATE_SEG_READ_SECONDS", "PROSTATE_SEG_READ_GIGABYTES"  # environment variables
SECONDS_PER_BYTE = 1e-6  # extra time allowed for each byte on disk
MEMORY_PER_BYTE = 4  # extra memory in bytes allowed for each byte on disk
_LENGTH = struct.Struct("<Q")
_START = "import sys; sys.path[:0] = [sys.argv[1]]; from prostate_seg.system.guard import serve; serve()"


@dataclass(frozen=True)
class Limits:
    """Limits for one call: wall-clock time in seconds, and memory in GiB (enforced on Linux only)."""

    seconds: float = 10.0
    gigabytes: float = 1.5

    def __post_init__(self) -> None:
        for name, value in (("seconds", self.seconds), ("gigabytes", self.gigabytes)):
            if not 0 < value < 1e6:
                raise SettingsError(f"The limit of {name} for reading is {value:g}, expected more than 0.")

    @classmethod
    def from_environment(cls) -> Limits:
        """Return the limits from PROSTATE_SEG_READ_SECONDS and PROSTATE_SEG_READ_GIGABYTES.

        A variable that is not set gives the default. Raises SettingsError if a value is not a positive number.
        """
        found = []
        for name, default in ((SECONDS, cls.seconds), (GIGABYTES, cls.gigabytes)):
            try:
                found.append(float(os.environ.get(name, default)))
            except ValueError:
                raise SettingsError(f"{name} is {os.environ[name]!r}, expected a number, such as 60.") from None
        return cls(*found)

    def for_bytes(self, count: int) -> Limits:
        """Return the limits for ``count`` bytes on disk: 1 s and 4 MB more for each megabyte."""
        return Limits(self.seconds + SECONDS_PER_BYTE * count, self.gigabytes + MEMORY_PER_BYTE * count / 2**30)


def guarded(function: Callable[..., Result], *arguments: Any, bytes_on_disk: int = 0) -> Result:
    """Call a function in the child process and return its result.

    Parameters
    ----------
    function
        A module-level function of this package. Its arguments and its result must be picklable.
    bytes_on_disk
        Size of the files that the function reads. It raises the limits.

    Raises
    ------
    InputError
        The function crashed the child process, exceeded a limit, or raised an error that is not one of this
        package.

    Errors of this package are raised here with the same type and message.
    """
    return _child.call(function, arguments, Limits.from_environment().for_bytes(bytes_on_disk))


class ChildError(Exception):
    """Traceback of the child process, used as the cause of the error that the parent process raises."""


class _Child:
    """The child process, started by the first call and again after it died."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Drop the reference to the child but leave it running; a fork of this process calls this."""
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
            except BaseException:  # such as Ctrl-C: the result is lost
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
            place = str(Path(__file__).resolve().parents[2])  # the folder of the package
            one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # every thread would reserve memory
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _START, place],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=os.environ | one_thread,
                start_new_session=True,  # Ctrl-C reaches only the parent, which then ends the child
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
    """Run in the child: answer calls until standard input is closed.

    Calls arrive on standard input and results leave on standard output. Output of libraries is discarded.
    """
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when the child ends
    while _answered(requests, replies):
        pass  # nothing is kept between calls


def _answered(requests: IO[bytes], replies: IO[bytes]) -> bool:
    """Answer one call. Return False if there is no further call."""
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
    """Limit the memory and the CPU time of this process from now on; None removes the limits."""
    if resource is None:
        return
    memory = seconds = resource.RLIM_INFINITY
    if limits is not None and (virtual := _virtual_bytes()):
        used = resource.getrusage(resource.RUSAGE_SELF)
        # The parent measures the time. This limit ends a child in an endless loop after its parent has died.
        seconds = int(used.ru_utime + used.ru_stime + 4 * limits.seconds) + 2
        memory = int(limits.gigabytes * 2**30) + virtual
    for kind, value in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, seconds)):
        _, most = resource.getrlimit(kind)
        bounded = value if most == resource.RLIM_INFINITY or 0 <= value < most else most
        with suppress(ValueError, OSError):  # macOS refuses some limits
            resource.setrlimit(kind, (bounded, most))


def _virtual_bytes() -> int:
    """Return the size of this process's address space in bytes, or 0 if it is unknown."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _packed(item: Any) -> list[memoryview]:
    """Return the pickle of an item, followed by views of the bytes of its arrays."""
    arrays: list[pickle.PickleBuffer] = []
    parts = [memoryview(pickle.dumps(item, protocol=5, buffer_callback=arrays.append))]
    return parts + [array.raw() for array in arrays]


def _write(stream: IO[bytes], parts: list[memoryview]) -> None:
    """Write the number of parts, then the length and the bytes of each part."""
    stream.write(_LENGTH.pack(len(parts)))
    for part in parts:
        stream.write(_LENGTH.pack(part.nbytes))
        stream.write(part)
    stream.flush()


def _receive(stream: IO[bytes]) -> Any:
    """Read an item that :func:`_packed` and :func:`_write` sent. Raises EOFError if the stream ends too early."""
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
    """Read into ``part`` until it is full or the stream ends. Return the number of bytes read."""
    view, done = memoryview(part), 0
    while done < len(part) and (count := stream.readinto(view[done:])):  # type: ignore[attr-defined]
        done += count
    return done
