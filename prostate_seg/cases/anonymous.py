"""Names for cases that are made from their content, so that they identify nobody."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from ..reading.cases import Case
from ..system.input_files import READ_ERRORS, opened

HASH_LENGTH = 12  # number of hexadecimal digits of a name


def anonymised(cases: Sequence[Case]) -> list[Case]:
    """Rename the cases to digits of the SHA-256 of their content; cases with equal content get -2, -3, ..."""
    named = []
    equal: Counter[str] = Counter()
    for case in cases:
        digest = hashlib.sha256()
        for file in case.files:
            with suppress(*READ_ERRORS), opened(file) as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
        name = digest.hexdigest()[:HASH_LENGTH]
        equal[name] += 1
        named.append(replace(case, name=name if equal[name] == 1 else f"{name}-{equal[name]}"))
    return named
