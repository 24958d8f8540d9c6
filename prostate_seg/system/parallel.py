"""Items one after the other, or several at a time in processes, any of which may die."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any, TypeVar

from ..errors import SettingsError

Item = TypeVar("Item")
Result = TypeVar("Result")
Start = tuple[Callable[..., None], tuple[Any, ...]]
TIDY_S = 0.5  # given to a process to remove what it has half-written
_asked = threading.Event()  # in a process of the pool: whether it was asked to end


def check_jobs(jobs: int | None) -> None:
    """Raise SettingsError for a number of ``--jobs`` below 1; None is no number."""
    if jobs is not None and jobs < 1:
        raise SettingsError(f"--jobs is the number of cases done at a time, at least 1, got {jobs}.")


def in_processes(
    function: Callable[[Item], Result], items: Sequence[Item], jobs: int, *, start: Start | None = None
) -> Iterator[Result | None]:
    """``function`` of each item, in order, in ``jobs`` processes; None where an item took its process with it.

    start: a function and its arguments, called first in each process. When one dies, the items that it leaves are
    done in a process each. Ctrl-C ends all of them at once, as does closing this iterator: what they are at is not
    finished. A script that calls this guards its main part by ``if __name__ == "__main__"``.
    """
    with _pool(jobs, start) as pool:
        futures = _submitted(pool, function, items, threads=max(1, (os.cpu_count() or 1) // jobs))
        for item, future in zip(items, futures, strict=True):
            try:
                yield future.result()
            except BrokenProcessPool:  # some item took its process and with it the pool: each on its own
                yield _apart(function, item, start)


@contextmanager
def _pool(jobs: int, start: Start | None) -> Iterator[ProcessPoolExecutor]:
    """Processes that end when the block does, or at once if it raises or this process is killed."""
    context = get_context("spawn")
    ended, stop = context.Pipe(duplex=False)  # closing ``stop`` is what the processes hear
    pool = ProcessPoolExecutor(jobs, context, _begin, (pickle.dumps(start), ended))
    try:
        yield pool
    except BaseException:
        stop.close()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        stop.close()
        ended.close()


def _begin(start: bytes, ended: Connection) -> None:
    """In a new process: listen for the end, say nothing but what is returned, then do what ``start`` says.

    start: pickled, since loading it may import for seconds, in which the process must listen already.
    """
    signal.signal(signal.SIGTERM, _leave)
    threading.Thread(target=_end_when_asked, args=(ended,), daemon=True).start()
    warnings.simplefilter("ignore")
    logging.getLogger().addHandler(logging.NullHandler())
    if (first := pickle.loads(start)) is not None:
        function, arguments = first
        function(*arguments)


def _end_when_asked(ended: Connection) -> None:
    """End this process when the other end is closed: tidily if the work listens, else by force."""
    with suppress(OSError, EOFError):
        ended.recv()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # no last words
    _asked.set()
    os.kill(os.getpid(), signal.SIGTERM)  # to the main thread, also where it sleeps
    time.sleep(TIDY_S)
    os._exit(1)


def _leave(number: int, frame: FrameType | None) -> None:
    """Give up the work in hand if the parent asks for it; a signal from elsewhere ends the process."""
    if _asked.is_set():
        raise KeyboardInterrupt
    os._exit(1)


def _submitted(
    pool: ProcessPoolExecutor, function: Callable[[Item], Result], items: Sequence[Item], *, threads: int
) -> list[Future[Result]]:
    """Hand the items to processes, which start here, with so many threads each and deaf to Ctrl-C."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    in_main = threading.current_thread() is threading.main_thread()  # another one cannot change signals
    on_interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN) if in_main else None
    try:
        return [pool.submit(function, item) for item in items]
    finally:
        if in_main:
            signal.signal(signal.SIGINT, on_interrupt)
        if before is None:
            del os.environ["OMP_NUM_THREADS"]


def _apart(function: Callable[[Item], Result], item: Item, start: Start | None) -> Result | None:
    with _pool(1, start) as pool:
        try:
            return _submitted(pool, function, [item], threads=os.cpu_count() or 1)[0].result()
        except BrokenProcessPool:
            return None
