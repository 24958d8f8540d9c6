"""Damages files in the ways in which they are damaged, and in which somebody would: for :mod:`fuzz`.

A mutation takes a seed (files by name) and gives another one and its own name. All follows from the generator.
"""

import gzip
import json
import re
import struct
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

from fuzz_seeds import Seed

SECRET = "secret.raw"  # lies beside the folder of each case; nothing may read it
HOT = 600  # bytes at the beginning of a file, or of DICOM's pixel data, where its header is
NUMBERS = (
    0,
    1,
    -1,
    2,
    7,
    127,
    128,
    255,
    256,
    32767,
    32768,
    65535,
    65536,
    2**24,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63,
)
TEXTS = (
    *("0", "-1", "1", "2", "3.5", "1e308", "-1e308", "1e-308", "nan", "inf", "-inf", "2147483648", "4294967297"),
    *("99999999999999999999", "", " ", "%s%n%s%n", "LIST", f"../{SECRET}", "/etc/hostname", "%03d 1 9 1", "=1+1"),
    *("\x1b[31m", "a" * 5000, "1 " * 300, "none", "(1,0,0) (0,0,0) (0,0,1)", "(nan,0,0)", "true", "\\", "ä"),
)
VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        0,
        -1,
        1,
        1.5,
        10**9,
        2**31,
        10**30,
        1e308,
        float("nan"),
        float("inf"),
        "",
        "x",
        "$print(1)",
        "@x",
    ),
    *([], {}, [None], [[]], {"_target_": "x"}, {"a": {"b": None}}, "a" * 5000, "\udcff", list(range(1000))),
)
LONG_VR = (b"OB", b"OW", b"SQ", b"UN", b"UT", b"OF", b"OD", b"OL", b"UC", b"UR")
TEXT_VR = (b"IS", b"DS", b"CS", b"UI", b"LO", b"SH", b"PN", b"DA", b"TM")


def integer(random: Random) -> bytes:
    """A number at the edge of something, of 1, 2, 4 or 8 bytes in either order."""
    size = random.choice((1, 2, 2, 4, 4, 8))
    number = random.choice(NUMBERS) & (1 << 8 * size) - 1
    return number.to_bytes(size, random.choice(("little", "big")))


def place(random: Random, content: bytes) -> int:
    """A place in a file, most often in a header."""
    pixels = content.find(b"\xe0\x7f\x10\x00")
    start = pixels if pixels > 0 and random.random() < 0.3 else 0
    end = min(len(content), start + HOT) if random.random() < 0.7 else len(content)
    return random.randrange(start, max(end, start + 1))


def flip(content: bytes, random: Random) -> bytes:
    changed = bytearray(content or b"\0")
    for _ in range(random.choice((1, 1, 1, 2, 8))):
        changed[place(random, content) % len(changed)] ^= 1 << random.randrange(8)
    return bytes(changed)


def overwrite(content: bytes, random: Random) -> bytes:
    at, value = place(random, content), integer(random)
    return content[:at] + value + content[at + len(value) :]


def truncate(content: bytes, random: Random) -> bytes:
    return content[: place(random, content)]


def remove(content: bytes, random: Random) -> bytes:
    at = place(random, content)
    return content[:at] + content[at + random.choice((1, 2, 8, 64, 1000)) :]


def duplicate(content: bytes, random: Random) -> bytes:
    at, size = place(random, content), random.choice((1, 4, 64, 1000))
    return content[:at] + content[at : at + size] * random.choice((2, 3, 50)) + content[at + size :]


def splice(content: bytes, random: Random) -> bytes:
    """The beginning of a file with an end from elsewhere in it."""
    return content[: place(random, content)] + content[place(random, content) :]


def constant(content: bytes, random: Random) -> bytes:
    at, size = place(random, content), random.choice((2, 16, 400, 10**6))
    size = min(size, len(content) - at)
    return content[:at] + random.choice((b"\0", b"\xff", b"A")) * size + content[at + size :]


def numbers_in_text(content: bytes, random: Random) -> bytes:
    """Another number, or word, in the text of a header."""
    found = list(re.finditer(rb"(?<=[ =:\"\[(,])[-+.\w]+", content[:4096]))
    if not found:
        return overwrite(content, random)
    word = random.choice(found)
    return content[: word.start()] + random.choice(TEXTS).encode() + content[word.end() :]


def lines_in_text(content: bytes, random: Random) -> bytes:
    """A line of a header left out, twice, moved, or with another value."""
    end = content.find(b"\n\n") if content.startswith(b"NRRD") else len(content)
    lines, rest = content[:end].split(b"\n"), content[end:]
    at = random.randrange(len(lines))
    line = lines.pop(at)
    action = random.randrange(4)
    if action == 1:
        lines[at:at] = [line] * random.choice((2, 3, 10_000))
    elif action == 2:
        lines.insert(random.randrange(len(lines) + 1), line)
    elif action == 3:
        key, sign, _ = line.partition(b":" if b":" in line else b"=")
        lines.insert(at, key + sign + b" " + random.choice(TEXTS).encode())
    return b"\n".join(lines) + rest


def data_file(content: bytes, random: Random) -> bytes:
    """Voxels that are said to lie in another file: detached, a list, a pattern, none that a header may name."""
    name = random.choice((f"../{SECRET}", f"LIST\n../{SECRET}", "/dev/zero", "../%03d.raw 0 4 1", "/etc/hostname"))
    line, changed = re.search(rb"(?im)^(data ?file: |ElementDataFile = )(.*)$", content), name.encode()
    if line:
        return content[: line.start(2)] + changed + content[line.end(2) :]
    if content.startswith(b"NRRD"):
        return content.replace(b"\n\n", b"\ndata file: " + changed + b"\n\n", 1)
    return flip(content, random)


def element(content: bytes, random: Random) -> bytes:
    """Another value, of its own length, of an attribute of explicit VR little endian DICOM; or none, or twice."""
    found = attributes(content)
    if not found:
        return overwrite(content, random)
    at, start, end = random.choice(found)
    tag, vr = content[at : at + 4], content[at + 4 : at + 6]
    whole = content[at:end]
    if random.random() < 0.1:
        return content[:at] + random.choice((b"", whole * 2)) + content[end:]
    if vr in TEXT_VR:
        value = random.choice(TEXTS).encode()[:1000]
        value = random.choice((value, b"\\".join([value] * 3)))
        value += b" " * (len(value) % 2)
    else:
        value = random.choice((integer(random), integer(random) * 3, struct.pack("<d", float("nan")), b""))
    if vr in LONG_VR:
        return content[:start] + value[: end - start].ljust(end - start, b"\0") + content[end:]
    return content[:at] + tag + vr + struct.pack("<H", len(value)) + value + content[end:]


def attributes(content: bytes) -> list[tuple[int, int, int]]:
    """Where attributes begin, where their values begin and end: those in sequences too."""
    found, at = [], 132
    while at + 8 <= len(content):
        vr = content[at + 4 : at + 6]
        if content[at : at + 2] == b"\xfe\xff":  # an item: look inside
            at += 8
            continue
        long = vr in LONG_VR
        size = int.from_bytes(content[at + 8 : at + 12] if long else content[at + 6 : at + 8], "little")
        start = at + (12 if long else 8)
        inside = vr == b"SQ" or size == 2**32 - 1
        if not (vr.isalpha() and vr.isupper()) or start + (0 if inside else size) > len(content):
            break
        if not inside:
            found.append((at, start, start + size))
        at = start if inside else start + size
    return found


def node(content: bytes, random: Random) -> bytes:
    """Another value anywhere in JSON, or a depth of 100 000."""
    try:
        tree = json.loads(content)
    except (ValueError, RecursionError):  # an earlier mutation broke it
        return flip(content, random)
    if random.random() < 0.03:
        return b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    holders: list[tuple[Any, Any]] = []
    collect(tree, holders)
    if not holders:
        return flip(content, random)
    holder, key = random.choice(holders)
    if random.random() < 0.15:
        del holder[key]
    elif isinstance(holder, dict) and random.random() < 0.1:
        holder["unknown"] = random.choice(VALUES)
    else:
        holder[key] = random.choice((random.choice(VALUES), random.choice(NUMBERS), random.choice(TEXTS)))
    return json.dumps(tree).encode("utf-8", "surrogatepass")


def collect(tree: Any, holders: list[tuple[Any, Any]]) -> None:
    """Every place of a value in nested lists and dictionaries."""
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in pairs:
        holders.append((tree, key))
        collect(value, holders)


Bytes = Callable[[bytes, Random], bytes]
ANY: tuple[Bytes, ...] = (flip, overwrite, truncate, remove, duplicate, splice, constant)
TEXT = (*ANY, *[numbers_in_text, lines_in_text] * 4, data_file)
BY_SUFFIX: dict[str, tuple[Bytes, ...]] = {
    ".dcm": (*ANY, *[element] * 7),
    ".nrrd": TEXT,
    ".nhdr": TEXT,
    ".mha": TEXT,
    ".mhd": TEXT,
    ".csv": TEXT,
    ".json": (*ANY, numbers_in_text, *[node] * 8),
}


def mutated(seed: Seed, random: Random) -> tuple[Seed, str]:
    """A seed after one to three mutations, most often of its first file; and their names."""
    changed, names = dict(seed), []
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        file = next(iter(changed)) if random.random() < 0.8 else random.choice(list(changed))
        content = changed[file]
        if not content:
            continue
        mutation = random.choice(next((all_ for end, all_ in BY_SUFFIX.items() if file.endswith(end)), ANY))
        packed = content[:2] == b"\x1f\x8b" and random.random() < 0.7
        names.append(f"{mutation.__name__}{' inside gzip' if packed else ''} of {file}")
        changed[file] = repacked(content, mutation, random) if packed else mutation(content, random)
    return changed, ", ".join(names) or "nothing"


def repacked(content: bytes, mutation: Bytes, random: Random) -> bytes:
    try:
        return gzip.compress(mutation(gzip.decompress(content), random), 1)
    except (OSError, EOFError, zlib.error, IndexError):  # an earlier mutation broke it, or left nothing
        return mutation(content, random)
