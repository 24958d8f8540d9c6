"""Names of cases: valid file names, each of which occurs once among the cases of a run."""

from __future__ import annotations

import re

LONGEST_NAME = 80  # bytes


def free_name(name: str, taken: dict[str, int]) -> str:
    """Return ``name`` as a valid file name that is not taken; equal names get -2, -3, ...

    ``taken`` holds the names so far in lower case, each with the last number that was appended to it.
    """
    safe = re.sub(r"[^\w.-]+", "_", name).strip("._-").encode()[:LONGEST_NAME].decode(errors="ignore") or "case"
    number, free = taken.get(safe.lower(), 1), safe
    while free.lower() in taken:
        number += 1
        free = f"{safe}-{number}"
    taken[safe.lower()] = number
    taken.setdefault(free.lower(), 1)
    return free
