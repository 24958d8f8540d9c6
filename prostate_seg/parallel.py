"""Items one after the other, or several at a time in processes, any of which may die."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from typing import Any, TypeVar

from .errors import SettingsError

Item = TypeVar("Item")
Result = TypeVar("Result")
Start = tuple[Callable[..., None], tuple[Any, ...]]


def check_jobs(jobs: int | None) -> None:
    """Raise SettingsError for a number of ``--jobs`` below 1; None is no number."""
    if jobs is not None and jobs < 1:
        raise SettingsError(f"--jobs is the number of cases done at a time, at least 1, got {jobs}.")


def in_processes(
    function: Callable[[Item], Result], items: Sequence[Item], jobs: int, *, start: Start | None = None
) -> Iterator[Result | None]:
    """``function`` of each item, in order, in ``jobs`` processes; None where an item took its process with it.

    start: a function and its arguments, called first in each process. When one dies, the items that it leaves are
    done in a process each. Ctrl-C ends this process only: what the others are at is finished, what they have not
    begun is not done. A script that calls this guards its main part by ``if __name__ == "__main__"``.
    """
    with _pool(jobs, start) as pool:
        futures = _submitted(pool, function, items, threads=max(1, (os.cpu_count() or 1) // jobs))
        try:
            for item, future in zip(items, futures, strict=True):
                try:
                    yield future.result()
                except BrokenProcessPool:  # some item took its process and with it the pool: each on its own
                    yield _apart(function, item, start)
        finally:
            pool.shutdown(cancel_futures=True)


def _pool(jobs: int, start: Start | None) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(jobs, get_context("spawn"), _begin, (start,))


def _begin(start: Start | None) -> None:
    """In a new process: end with the one that started it, also where that is killed; then what ``start`` says."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if start is not None:
        function, arguments = start
        function(*arguments)


def _end_with_parent() -> None:
    if (parent := parent_process()) is not None:
        parent.join()
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
            return pool.submit(function, item).result()
        except BrokenProcessPool:
            return None
