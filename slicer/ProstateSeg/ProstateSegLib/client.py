"""Client of ``prostate-seg worker``: one process that holds the network and the open images. No Qt, no Slicer.

Nothing here waits: ``send`` starts a request, and ``poll``, called from a timer, hands over the replies. If the
worker ends, its open images and their hints are kept here, and the next request starts it again with them.
"""

import base64
import collections
import json
import queue
import time
import zlib
from dataclasses import dataclass, field

import numpy as np

from .process import LineProcess

PROTOCOL = 1
_CHANGING = ("open", "add", "undo")


@dataclass
class Case:
    """What is needed to open an image again.

    Attributes
    ----------
    arguments
        Arguments of the request ``open``.
    hints
        Hints that the worker has accepted, as in ``hints.json``.
    """

    arguments: dict
    hints: dict = field(default_factory=dict)


@dataclass
class Request:
    """A request without reply so far, and the functions that take what comes."""

    do: str
    case: str
    arguments: dict
    done: object
    failed: object
    progress: object


def _nothing(_):
    """Take a reply that nobody waits for."""


def _once(function):
    """Return a function that calls another one the first time only."""
    calls = iter([function])

    def first(text):
        next(calls, _nothing)(text)

    return first


class Client:
    """A worker process, started by the first request.

    Parameters
    ----------
    command
        Program and arguments that start the worker.
    environment
        Environment of the process; None: that of this process.
    """

    def __init__(self, command, environment=None):
        self.command, self.environment = list(command), environment
        self.cases = {}
        self.version = ""
        self._process = None
        self._waiting = collections.OrderedDict()
        self._opened = set()
        self._number = 0

    @property
    def running(self):
        """Whether the worker runs."""
        return self._process is not None and self._process.running

    @property
    def busy(self):
        """Whether a reply is outstanding."""
        return bool(self._waiting)

    def send(self, do, case, *, done=_nothing, failed=_nothing, progress=_nothing, **arguments):
        """Send a request. An image that a former worker had open is opened again first, with its hints.

        Parameters
        ----------
        do
            ``open``, ``add``, ``undo``, ``assess``, ``suggest``, ``save``, ``export`` or ``close``.
        case
            Name of the image, chosen by the caller.
        done
            Called with the result. It may raise RuntimeError with a sentence for ``failed``.
        failed
            Called with one sentence.
        progress
            Called with sentences about what is being done.
        """
        failed = _once(failed)
        request = Request(do, case, arguments, done, failed, progress)
        if not self.running:
            if self._process is not None:
                self._ended()
            try:
                self._process = LineProcess(self.command, self.environment)
            except OSError as error:
                failed(f"{self.command[0]} cannot be started ({error.strerror}); set the path of prostate-seg.")
                return
        known = self.cases.get(case)
        if known and case not in self._opened and do not in ("open", "close"):
            count = len(known.hints.get("hints", ()))
            progress(f"prostate-seg is started again, with {count} hints.")
            self._post(Request("open", case, self._again(known), _nothing, failed, progress))
        self._post(request)

    def poll(self):
        """Hand over the replies that have arrived. Return whether one is outstanding."""
        while self._process is not None:
            try:
                line = self._process.line()
            except queue.Empty:
                break
            if line is None:
                self._ended()
            else:
                self._take(line)
        return self.busy

    def wait(self, seconds=120):
        """Poll until no reply is outstanding. Raise TimeoutError after some seconds. For scripts and tests."""
        end = time.monotonic() + seconds
        while self.poll():
            if time.monotonic() > end:
                raise TimeoutError(f"prostate-seg did not answer within {seconds} s.")
            time.sleep(0.01)

    def cancel(self):
        """End the worker at once. Outstanding requests fail; images and hints are kept for the next one."""
        self._stop()
        self._fail_all("Cancelled; the hints given so far are kept.")

    def close(self):
        """End the worker and forget all images."""
        self._stop()
        self._waiting.clear()
        self.cases.clear()

    def forget(self, case):
        """Close an image, and forget its hints. No reply is awaited."""
        self.cases.pop(case, None)
        if case in self._opened:
            self._opened.discard(case)
            self._process.write(json.dumps({"id": 0, "do": "close", "case": case}))

    def use(self, command, environment=None):
        """Answer the next requests by another program. Images and hints are kept."""
        self.cancel()
        self.command, self.environment = list(command), environment

    def _stop(self):
        process, self._process = self._process, None
        self._opened = set()
        if process is not None:
            process.kill()

    def _again(self, case):
        return {**case.arguments, "hints": case.hints} if case.hints.get("hints") else case.arguments

    def _post(self, request):
        self._number += 1
        self._waiting[self._number] = request
        if request.do == "open":
            self._opened.add(request.case)
        content = {"id": self._number, "do": request.do, "case": request.case, **request.arguments}
        self._process.write(json.dumps(content))

    def _take(self, line):
        try:
            reply = json.loads(line)
        except ValueError:
            reply = None
        if not isinstance(reply, dict) or not {"protocol", "id"} & set(reply):
            self._stop()
            self._fail_all(f"{self.command[0]} does not answer as prostate-seg does; set the path of prostate-seg.")
            return
        if "protocol" in reply:
            self._greet(reply)
            return
        request = self._waiting.get(reply["id"])
        if request is None:
            return
        if "progress" in reply:
            request.progress(reply["progress"])
            return
        del self._waiting[reply["id"]]
        if "error" in reply:
            self._refused(request, reply["error"])
        else:
            self._keep(request, reply["result"])
            try:
                request.done(reply["result"])
            except RuntimeError as error:
                request.failed(str(error))

    def _greet(self, reply):
        self.version = reply["version"]
        if reply["protocol"] != PROTOCOL:
            self._stop()
            self._fail_all(
                f"prostate-seg {self.version} speaks protocol {reply['protocol']}, this extension {PROTOCOL}; "
                "update the older of the two."
            )

    def _refused(self, request, sentence):
        if request.do == "open":
            self._opened.discard(request.case)
        request.failed(sentence)

    def _keep(self, request, result):
        if request.do == "open":
            arguments = {name: value for name, value in request.arguments.items() if name != "hints"}
            self.cases[request.case] = Case(arguments)
        if request.do in _CHANGING and request.case in self.cases:
            self.cases[request.case].hints = result["hints"]
        if request.do == "close":
            self.cases.pop(request.case, None)

    def _ended(self):
        last = self._process.ended()
        self._stop()
        self._fail_all(f"prostate-seg ended unexpectedly ({last}); the hints given so far are kept, try again.")

    def _fail_all(self, sentence):
        waiting, self._waiting = self._waiting, collections.OrderedDict()
        for request in waiting.values():
            request.failed(sentence)


def unpacked(content):
    """Return the array of a reply: shape, and values as base64 of zlib; bool if eight are in a byte."""
    shape = tuple(content["shape"])
    values = np.frombuffer(zlib.decompress(base64.b64decode(content.get("bits") or content["bytes"])), np.uint8)
    if "bits" in content:
        values = np.unpackbits(values)[: int(np.prod(shape))].astype(bool)
    return values.reshape(shape)
