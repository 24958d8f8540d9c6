"""Segmentation of cases by the workers of a Ray cluster; each holds the network and does one case at a time.

The driver keeps as many cases in flight as there are workers, and passes each outcome on when it arrives. All
workers must see the inputs and the output folder under the same paths.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from ..errors import InputError, SettingsError
from ..inference.bundle_info import BundleInfo
from ..inference.predictor import Predictor
from ..reading.cases import Case
from ..system.guard import GIGABYTES, SECONDS
from ..system.half_written import remove_abandoned
from .failures import sentence
from .options import Options, Outcome
from .segment import checked, segment_case

try:
    import ray
    from ray.exceptions import RayError, RayTaskError
except ImportError:  # Ray is an extra
    ray = None

ANSWER_S = 10.0
RETRIES = 2  # of a case whose worker died
PASSED = (SECONDS, GIGABYTES)  # variables of the environment that the workers get
STORE_BYTES = 100 << 20  # of Ray's object store on this machine; only small objects are passed


@dataclass(frozen=True)
class Workers:
    """How many workers, on which cluster (None: one that is started on this machine), and their device."""

    count: int
    address: str | None = None
    device: str = "auto"


@dataclass(frozen=True)
class _Turn:
    """A case to do. ``fresh``: it had no folder before; ``deaths``: workers that died of it."""

    case: Case
    fresh: bool
    deaths: int = 0

    def options(self, given: Options) -> Options:
        """Return the settings: results that a dying worker has finished are not made again."""
        if self.deaths and self.fresh:
            return replace(given, overwrite=False, skip_existing=True)
        return given


class Worker:
    """The work of a Ray actor."""

    def start(self, load: Callable[[], Predictor], folder: str, environment: dict[str, str]) -> BundleInfo:
        """Load the network. Raise SettingsError if this computer does not see the working directory."""
        os.environ.update(environment)
        try:
            os.chdir(folder)
        except OSError as error:
            raise SettingsError(
                f"The working directory {folder} cannot be used on {socket.gethostname()} ({error.strerror}); "
                "start in a folder that all computers see."
            ) from error
        self.predictor = load()
        return self.predictor.info

    def segment(self, case: Case, options: Options) -> Outcome:
        """Read, segment and write one case."""
        return segment_case(case, self.predictor, options)


def check_ray() -> None:
    """Raise SettingsError if Ray is not installed."""
    if ray is None:
        raise SettingsError("--engine ray needs Ray, which is not installed: pip install 'prostate-seg[ray]'.")


def segment_on_ray(
    cases: Sequence[Case], load: Callable[[], Predictor], options: Options, workers: Workers
) -> Generator[Outcome]:
    """Segment cases and yield their outcomes as they arrive.

    A case whose worker dies is done again by a new worker, at most twice. Errors of ``load`` are raised.

    Parameters
    ----------
    cases, load, options
        As for :func:`.segment.segment_cases`.
    workers
        The workers to start.

    Raises
    ------
    SettingsError
        The cluster cannot be used, or the workers die while they load the network.
    """
    if not cases:
        return
    names = {case.name for case in cases}
    remove_abandoned(options.output, names)
    waiting = deque(_Turn(case, fresh=not os.path.lexists(options.output / case.name)) for case in cases)
    try:
        with _cluster(workers):
            crew = _Crew(_kind(workers), load)
            for _ in range(min(workers.count, len(cases))):
                crew.hire()
            yield from _outcomes(crew, waiting, options)
    finally:
        remove_abandoned(options.output, names)


class _Crew:
    """The workers, and the case that each of them is at."""

    def __init__(self, kind: Any, load: Callable[[], Predictor]):
        self.kind, self.load = kind, load
        self.tasks: dict[Any, tuple[Any, _Turn | None]] = {}  # no case: the worker is starting

    def hire(self) -> None:
        """Start a worker."""
        worker = self.kind.remote()
        environment = {name: os.environ[name] for name in PASSED if name in os.environ}
        self.tasks[worker.start.remote(self.load, os.getcwd(), environment)] = worker, None

    def give(self, worker: Any, turn: _Turn, options: Options) -> None:
        """Give a case to a worker."""
        self.tasks[worker.segment.remote(turn.case, turn.options(options))] = worker, turn

    def busy(self) -> bool:
        """Return whether a worker is at a case."""
        return any(turn for _, turn in self.tasks.values())

    def next(self) -> tuple[Any, _Turn | None, Any]:
        """Wait for a worker; return it, its case, and the answer: a RayError if the worker died."""
        (task,), _ = ray.wait(list(self.tasks), num_returns=1)
        return *self.tasks.pop(task), _answer(task)


def _outcomes(crew: _Crew, waiting: deque[_Turn], options: Options) -> Iterator[Outcome]:
    started, lost, reason = (
        False,
        0,
        "",
    )  # lost: workers that died while they started, since the last that did start
    while crew.tasks and (waiting or crew.busy()):
        worker, turn, answer = crew.next()
        died = isinstance(answer, RayError)
        if isinstance(answer, BundleInfo):
            options, started, lost = checked(options, answer), True, 0
        elif not died:
            yield answer
        elif turn is None:
            lost, reason = lost + 1, type(answer).__name__
        elif turn.deaths < RETRIES:
            waiting.appendleft(replace(turn, deaths=turn.deaths + 1))
        else:
            yield _failed(turn.case, f"its worker died {RETRIES + 1} times", options)
        if waiting and not died:
            crew.give(worker, waiting.popleft(), options)
        elif waiting and (turn or lost <= RETRIES):
            crew.hire()
    if waiting and not started:
        raise SettingsError(
            f"{lost} Ray workers died while they loaded the network ({reason}), none could; give fewer --jobs."
        )
    for turn in waiting:
        yield _failed(
            turn.case, f"no worker was left, and {lost} died while they loaded the network ({reason})", options
        )


def _answer(task: Any) -> Any:
    """Return the result of a task of Ray, or the RayError if its worker died. Raise what the task raised."""
    try:
        return ray.get(task)
    except RayTaskError as error:
        raise error.cause from None
    except RayError as error:
        return error


def _failed(case: Case, reason: str, options: Options) -> Outcome:
    died = InputError(f"{reason}: too little memory, or a decoder crashed; give fewer --jobs.")
    return Outcome(case.name, error=sentence(case, died, anonymous=options.anonymous))


@contextmanager
def _cluster(workers: Workers) -> Iterator[None]:
    """Connect to the cluster, or start one on this machine, until the block ends. Raise SettingsError."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    local = {} if workers.address else {"include_dashboard": False, "object_store_memory": STORE_BYTES}
    on_request_to_end = signal.getsignal(signal.SIGTERM)
    try:
        _check_answers(workers.address or "")
        ray.init(workers.address or "local", log_to_driver=False, logging_level=logging.ERROR, **local)
    except (OSError, RayError, RuntimeError, ValueError) as error:
        told = f" ({type(error).__name__})"
        if workers.address is None:
            raise SettingsError(f"Ray cannot start on this machine{told}; leave --engine ray out.") from error
        raise SettingsError(
            f"--address {workers.address} cannot be used{told}; expected HOST:PORT or auto of a running cluster, "
            "the same version of Ray, and RAY_AUTH_MODE=token in the environment if the cluster asks for its token."
        ) from error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_request_to_end)  # Ray's own handler prints a stack and aborts
    # Ray prints the death of a worker on stdout, where the results are; it has no public option against it.
    ray._private.worker._worker_logs_enabled = False
    try:
        yield
    finally:
        ray.shutdown()


def _check_answers(address: str) -> None:
    """Raise OSError if nothing answers at HOST:PORT; Ray itself would try for minutes."""
    host, colon, port = address.rpartition(":")
    if colon and "/" not in address and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()


def _kind(workers: Workers) -> Any:
    """Return the class of the actors, with the CPUs and GPUs that one of them takes. Raise SettingsError."""
    there = ray.cluster_resources()
    gpus = int(there.get("GPU", 0) >= 1)
    if workers.device == "cuda" and not gpus:
        raise SettingsError("--device cuda: the Ray cluster has no GPU; give --device cpu.")
    of_node = min(node["Resources"].get("CPU", 1) for node in ray.nodes() if node["Alive"])
    cpus = max(1, int(min(there.get("CPU", 1) / workers.count, of_node)))
    return ray.remote(Worker).options(num_cpus=cpus, num_gpus=gpus if workers.device in ("cuda", "auto") else 0)
