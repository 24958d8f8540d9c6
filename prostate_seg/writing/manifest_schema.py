"""JSON Schema of ``manifest.json``, made from the types in :mod:`.manifest`.

A copy is docs/manifest.schema.json.
"""

import json
import types
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from .formats import FORMATS
from .manifest import DIGESTS, HINTS, MANIFEST, Manifest


def schema(*, strict: bool = True) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a written manifest.

    If not strict, it allows entries and outputs that another version may have.
    """
    found = _schema_of(Manifest, strict=strict)
    found["required"] += ["outputs", DIGESTS]  # entries that are added when the files are written
    if strict:
        files = [*(row.file for row in FORMATS.values()), MANIFEST, HINTS]
        found["properties"]["outputs"]["items"]["enum"] = files
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "prostate-seg manifest.json"}
    return head | found


def schema_text() -> str:
    """Return the schema as the text of docs/manifest.schema.json."""
    return json.dumps(schema(), indent=1) + "\n"


def _schema_of(kind: Any, *, strict: bool) -> dict[str, Any]:
    origin, arguments = get_origin(kind), get_args(kind)
    if is_typeddict(kind):
        parts = get_type_hints(kind)
        return {
            "description": kind.__doc__,
            "type": "object",
            "properties": {name: _schema_of(part, strict=strict) for name, part in parts.items()},
            "required": sorted(kind.__required_keys__),
            "additionalProperties": not strict,
        }
    if origin in (Union, types.UnionType):
        return {"anyOf": [_schema_of(part, strict=strict) for part in arguments]}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is list:
        return {"type": "array", "items": _schema_of(arguments[0], strict=strict)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema_of(arguments[1], strict=strict)}
    names = {str: "string", bool: "boolean", float: "number", int: "integer", type(None): "null"}
    return {"type": names[kind]}
