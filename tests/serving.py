"""A started `prostate-seg review`, and requests to it as a browser or a stranger sends them."""

import http.client
import json
import signal
import subprocess
import sys
from contextlib import contextmanager
from urllib.parse import urlsplit


class Page:
    """The page of a started review."""

    def __init__(self, process, address, cases):
        self.process, self.address, self.cases = process, address, cases
        split = urlsplit(address)
        self.host, self.port, self.path = split.netloc, split.port, split.path

    def raw(self, method, path, body=None, headers=None):
        """Send one request; the path is absolute. Return status, headers and content."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, answer.headers, content

    def post(self, path, body=b"{}", **headers):
        """Return status and JSON of a POST to a path below the token."""
        given = {"Content-Type": "application/json"} | {name.replace("_", "-"): v for name, v in headers.items()}
        status, _, content = self.raw("POST", self.path + path, body, given)
        return status, json.loads(content)

    def ask(self, verb, case=0, **content):
        return self.post(f"cases/{case}/{verb}", json.dumps(content))


@contextmanager
def reviewed(*arguments, repository):
    """Start the command line's review and end it by Ctrl-C."""
    command = [sys.executable, "-m", "prostate_seg", "review", *map(str, arguments), "--no-browser", "--json"]
    process = subprocess.Popen(
        command, cwd=repository, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line == "}\n":
                break
        if not lines:
            raise RuntimeError(process.stderr.read())
        told = json.loads("".join(lines))
        yield Page(process, told["address"], told["cases"])
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
