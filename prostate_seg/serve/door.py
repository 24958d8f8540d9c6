"""Which requests are let in: those of the page that this computer's user opened, and no others.

The address of the page holds a random token. A page of another site does not know it, and the browser tells the
origin of its requests. The name of the host is checked, so that no foreign name can be made to lead here.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

HOST = "127.0.0.1"
MOST_BYTES = 4 << 20  # of a request; the longest outline has 20 000 points


class RefusedError(Exception):
    """A request is refused, with an HTTP status and one sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True)
class Door:
    """The address of the page.

    Attributes
    ----------
    port
        TCP port on 127.0.0.1.
    token
        First part of the path of each request.
    """

    port: int
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    @property
    def address(self) -> str:
        """Return the address of the page."""
        return f"http://{HOST}:{self.port}/{self.token}/"

    def path(self, scope: MutableMapping[str, Any]) -> tuple[str, ...]:
        """Return the parts of a request's path after the token. Raise RefusedError if it is not let in."""
        headers = headers_of(scope)
        hosts = [f"{name}:{self.port}" for name in (HOST, "localhost")]
        if headers.get("host") not in hosts:
            raise RefusedError(403, f"The request names another host, expected {hosts[0]}; open {hosts[0]}.")
        origin = headers.get("origin")
        foreign = origin is not None and origin not in [f"http://{host}" for host in hosts]
        if foreign or headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise RefusedError(403, "The request comes from another site, expected this page; open its address.")
        token, *parts = scope["path"].removeprefix("/").split("/")
        if not secrets.compare_digest(token.encode(), self.token.encode()) or not parts:
            raise RefusedError(
                403, "The address lacks the token of this server; open the whole address that was printed."
            )
        return tuple(parts)


def headers_of(scope: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers of a request, names in lower case. Of a repeated header all values are joined."""
    found: dict[str, str] = {}
    for raw, value in scope["headers"]:
        name, text = raw.decode("latin-1").lower(), value.decode("latin-1")
        found[name] = f"{found[name]}, {text}" if name in found else text
    return found


def check_content(headers: Mapping[str, str]) -> None:
    """Raise RefusedError unless the headers announce JSON of a permitted size."""
    kind = headers.get("content-type", "none").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise RefusedError(415, f"The content is of type {kind[:40]}, expected application/json.")
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > MOST_BYTES:
        raise too_large()


def too_large() -> RefusedError:
    """Return the refusal of content that is too large."""
    return RefusedError(413, f"The content is too large, expected at most {MOST_BYTES} bytes; draw shorter lines.")
