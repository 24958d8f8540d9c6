"""Processing of many items in several processes; a process that dies does not stop the others."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
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
TIDY_S = 1.0  # time for a process to remove its incomplete files
_asked = threading.Event()  # in a child process: set once the parent asks it to end


def check_jobs(jobs: int | None) -> None:
    """Raise SettingsError if the number of ``--jobs`` is below 1. None means that no number is given."""
    if jobs is not None and jobs < 1:
        raise SettingsError(f"--jobs is the number of cases done at a time, at least 1, got {jobs}.")


def in_processes(
    function: Callable[[Item], Result], items: Sequence[Item], jobs: int, *, start: Start | None = None
) -> Generator[Result | None]:
    """Yield the result of ``function`` for each item, in order; None for an item whose process died.

    If a process dies, each unfinished item is processed again in a process of its own. The result of an item is
    None if that process dies too. Ctrl-C, or closing this iterator, ends all processes at once and does not finish
    their items. A script that calls this function must protect its main part by ``if __name__ == "__main__"``.

    Parameters
    ----------
    function
        A function of one item.
    items
        The items.
    jobs
        Number of processes.
    start
        A function and its arguments, called first in each process.
    """
    with _pool(jobs, start) as pool:
        futures = _submitted(pool, function, items, threads=max(1, (os.cpu_count() or 1) // jobs))
        for item, future in zip(items, futures, strict=True):
            try:
                yield future.result()
            except BrokenProcessPool:  # a process died and broke the pool: use a new process
                yield _apart(function, item, start)


@contextmanager
def _pool(jobs: int, start: Start | None) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool of processes, which ends with the block.

    The processes end at once if the block raises or if this process is killed.
    """
    context = get_context("spawn")
    ended, stop = context.Pipe(duplex=False)  # closing ``stop`` tells the processes to end
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
    """Set up a new process: wait for the end signal in a thread, silence warnings and logging, run ``start``.

    Parameters
    ----------
    start
        A pickled function with its arguments, or a pickled None. It is pickled because loading it may import
        modules for seconds, and the process must be able to end during this time.
    ended
        A pipe; the process ends when the other end of this pipe is closed.
    """
    signal.signal(signal.SIGTERM, _leave)
    threading.Thread(target=_end_when_asked, args=(ended,), daemon=True).start()
    warnings.simplefilter("ignore")
    logging.getLogger().addHandler(logging.NullHandler())
    if (first := pickle.loads(start)) is not None:
        function, arguments = first
        function(*arguments)


def _end_when_asked(ended: Connection) -> None:
    """Wait until the other end of the pipe is closed, then interrupt the work; end the process after ``TIDY_S``."""
    with suppress(OSError, EOFError):
        ended.recv()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # nothing more is printed
    _asked.set()
    os.kill(os.getpid(), signal.SIGTERM)  # handled in the main thread, even if it sleeps
    time.sleep(TIDY_S)
    os._exit(1)


def _leave(number: int, frame: FrameType | None) -> None:
    """Handle SIGTERM: interrupt the work if the parent asked for it, otherwise end the process."""
    if _asked.is_set():
        raise KeyboardInterrupt
    os._exit(1)


def _submitted(
    pool: ProcessPoolExecutor, function: Callable[[Item], Result], items: Sequence[Item], *, threads: int
) -> list[Future[Result]]:
    """Submit the items to the pool, whose processes start here.

    Each process ignores Ctrl-C and uses ``threads`` threads, unless OMP_NUM_THREADS is already set.
    """
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    in_main = threading.current_thread() is threading.main_thread()  # other threads cannot change signal handlers
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
