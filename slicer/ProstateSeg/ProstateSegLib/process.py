"""A child process that speaks in lines, and its end with the processes that it started. No Qt, no Slicer."""

import collections
import contextlib
import os
import queue
import signal
import subprocess
import threading

_NO_WINDOW = getattr(subprocess, "CREATE_NO_WINDOW", 0)  # no console window on Windows
_PATIENCE_S = 1.0


class LineProcess:
    """A process whose output is read in the background.

    On POSIX it leads a process group of its own, so that :meth:`kill` reaches its children: ``PythonSlicer`` is a
    launcher, and the program that computes is its child.

    Parameters
    ----------
    command
        Program and arguments.
    environment
        Environment; None: that of this process.

    Raises
    ------
    OSError
        The program cannot be started.
    """

    def __init__(self, command, environment=None):
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=environment,
            start_new_session=True,  # ignored on Windows
            creationflags=_NO_WINDOW,
        )
        self.pid = self._process.pid
        self._lines, self._said = queue.Queue(), collections.deque(maxlen=20)
        self._listeners = [threading.Thread(target=work, daemon=True) for work in (self._listen, self._overhear)]
        for listener in self._listeners:
            listener.start()

    @property
    def running(self):
        """Whether the process runs."""
        return self._process.poll() is None

    def line(self):
        """Return the next line of output, None at its end. Raise queue.Empty if none has arrived."""
        return self._lines.get_nowait()

    def write(self, line):
        """Write a line to the input. If the process has ended, nothing happens."""
        with contextlib.suppress(OSError):
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def kill(self):
        """End the process and its children at once. Return what it said last, or its status."""
        listener, overhearer = self._listeners
        if self.running or listener.is_alive():  # otherwise the number may belong to another process by now
            _kill_tree(self.pid)
        self._process.kill()
        status = self._process.wait()
        overhearer.join(_PATIENCE_S)
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        return next((line.strip() for line in reversed(self._said) if line.strip()), f"status {status}")

    def ended(self):
        """Wait a moment for the end after the last line, then end the process. Return as :meth:`kill` does."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_PATIENCE_S)
        return self.kill()

    def _listen(self):
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def _overhear(self):
        self._said.extend(self._process.stderr)


def _kill_tree(pid):
    if os.name == "nt":
        command = ["taskkill", "/T", "/F", "/PID", str(pid)]
        subprocess.run(command, check=False, capture_output=True, creationflags=_NO_WINDOW)
    else:
        with contextlib.suppress(OSError):
            os.killpg(pid, signal.SIGKILL)
