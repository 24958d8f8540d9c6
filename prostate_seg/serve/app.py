"""The ASGI application: requests of the page to a :class:`.desk.Desk`, answers as JSON."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ..errors import OutputError, ProstateSegError
from ..report.page import asset
from ..system.checked_files import json_of
from .desk import Desk
from .door import MOST_BYTES, Door, RefusedError, check_content, headers_of, too_large
from .opened import MissedError

logger = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
FILES = (
    *("correct.js", "correct-drawing.js", "correct-panel.js", "correct-server.js", "correct-slices.js"),
    *("correct.css", "style.css"),
)
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = (
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cache-control", "no-store"),
)


class App:
    """ASGI application of the page.

    Parameters
    ----------
    desk
        The cases.
    door
        Which requests are let in.
    debug
        Log the tracebacks of unexpected errors; they may hold names of files.
    """

    def __init__(self, desk: Desk, door: Door, *, debug: bool = False) -> None:
        self.desk, self.door, self.debug = desk, door, debug

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request. Errors become JSON with one sentence."""
        if scope["type"] != "http":
            return
        kind = "application/json"
        try:
            kind, content = await self._answer(scope, receive)
            status = 200
        except RefusedError as error:
            status, content = error.status, _sentence(error)
        except MissedError as error:
            status, content = 409, _sentence(error)
        except OutputError as error:
            status, content = 507, _sentence(error)
        except ProstateSegError as error:
            status, content = 422, _sentence(error)
        except Exception as error:
            logger.error("A request failed (unexpected %s).", type(error).__name__, exc_info=self.debug)
            again = "start the review again with --debug and look at the terminal; hints are kept"
            status, content = 500, _sentence(f"Unexpected {type(error).__name__}; {again}.")
        headers = [("content-type", f"{kind}; charset=utf-8"), ("content-length", str(len(content))), *HEADERS]
        raw = [(name.encode(), value.encode()) for name, value in headers]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else content})

    async def _answer(self, scope: Message, receive: Receive) -> tuple[str, bytes]:
        """Return media type and content. Raise RefusedError, or an error of the desk."""
        path = self.door.path(scope)
        if path in [("",), *((name,) for name in FILES)]:
            if scope["method"] not in ("GET", "HEAD"):
                raise _no_method(scope)
            name = path[0] or "correct.html"
            return KINDS[name.rpartition(".")[2]], asset(name).encode()
        call = self._call(path)
        if scope["method"] != "POST":
            raise _no_method(scope)
        check_content(headers_of(scope))
        content = _object(await _body(receive))
        # A thread: the event loop stays free for pictures while a network or a session computes.
        return "application/json", _json(await asyncio.to_thread(call, content))

    def _call(self, path: tuple[str, ...]) -> Callable[[dict[str, Any]], Any]:
        """Return the function of the desk that a path names. Raise RefusedError if there is none."""
        match path:
            case ("cases",):
                return lambda content: self.desk.listed()
            case ("cases", number, verb) if verb in self.desk.VERBS and _is_case(number, len(self.desk.cases)):
                return lambda content: self.desk.done(int(number), verb, content)
        raise RefusedError(404, "There is no such address on this server; open the page again.")


def _is_case(number: str, count: int) -> bool:
    return number.isascii() and number.isdecimal() and len(number) < 9 and int(number) < count


def _no_method(scope: Message) -> RefusedError:
    return RefusedError(405, f"The method {scope['method'][:10]} is not used here, expected GET for files or POST.")


async def _body(receive: Receive) -> bytes:
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RefusedError(400, "The request ended early; send it again.")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MOST_BYTES:
            raise too_large()
        if not message.get("more_body"):
            return b"".join(parts)


def _object(raw: bytes) -> dict[str, Any]:
    try:
        content = json_of(raw)
    except ValueError as error:
        raise RefusedError(400, f"The content is no JSON ({error}); send one object.") from error
    if not isinstance(content, dict):
        raise RefusedError(400, f"The content is a {type(content).__name__}, expected one JSON object.")
    return content


def _json(content: Any) -> bytes:
    return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()


def _sentence(error: object) -> bytes:
    return _json({"error": str(error)})
