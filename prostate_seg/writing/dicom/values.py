"""Values of DICOM attributes: sequence items, Decimal Strings and codes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydicom import Dataset
from pydicom.valuerep import DSfloat


def item(**attributes: Any) -> Dataset:
    """Return a sequence item with these keywords and values."""
    made = Dataset()
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


def decimal(value: float) -> DSfloat:
    """Return a number as a Decimal String of at most 16 characters."""
    return DSfloat(float(value), auto_format=True)


def decimals(values: Iterable[float]) -> list[DSfloat]:
    """Return numbers as Decimal Strings."""
    return [decimal(value) for value in values]


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """Return an item of a code sequence (PS3.3 section 8.8)."""
    return item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)
