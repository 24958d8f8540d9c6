"""The server: a socket on this computer alone, and uvicorn."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing

from ..errors import SettingsError
from .app import App
from .desk import Desk
from .door import HOST, Door

SECONDS_TO_END = 5  # for requests in progress


def serve(desk: Desk, *, port: int = 0, started: Callable[[str], None], debug: bool = False) -> None:
    """Serve the page until the process is interrupted.

    The interruption is raised again at the end (KeyboardInterrupt), unless the process ignores it.

    Parameters
    ----------
    desk
        The cases.
    port
        TCP port on 127.0.0.1; 0 for a free one.
    started
        Called with the address of the page once requests can be received.
    debug
        Log the tracebacks of unexpected errors.

    Raises
    ------
    SettingsError
        The port is in use or not permitted, or uvicorn is not installed.
    """
    try:
        import uvicorn  # noqa: PLC0415 - of the extra "review"
    except ImportError as error:
        raise SettingsError(
            "The page needs uvicorn, which is not installed; install prostate-seg[review]."
        ) from error
    with closing(_listening(port)) as listening:
        door = Door(listening.getsockname()[1])
        config = uvicorn.Config(
            App(desk, door, debug=debug),
            http="h11",
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=SECONDS_TO_END,
        )
        started(door.address)  # the socket listens already
        uvicorn.Server(config).run(sockets=[listening])


def _listening(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port))
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or "out of range"
        raise SettingsError(
            f"Port {port} cannot be used ({why}); give another one, or leave --port out for a free one."
        ) from error
