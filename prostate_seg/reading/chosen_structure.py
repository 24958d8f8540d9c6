"""Selection of a structure in a file, and comparison of frames of reference."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import GeometryError, InputError
from ..geometry.structures import CTV, key

LONGEST_NAME, MOST_NAMES = 64, 20  # in a message: characters of a name, number of names


def chosen_structure(structures: Sequence[tuple[int, str]], wanted: Sequence[str], file: str) -> int:
    """Return the index of the requested structure.

    Parameters
    ----------
    structures
        Number and name of each structure in the file.
    wanted
        Names in order of preference; case is ignored. If empty: CTV, or else the only structure of the file.
    file
        Name of the file, for messages.

    Raises
    ------
    InputError
        No name matches (the message lists the names in the file); several structures have the name (the message
        lists their numbers); or two structures have the same number.
    """
    for name in wanted or (CTV,):
        found = [index for index, (_, own) in enumerate(structures) if same_name(own, name)]
        if len(found) > 1:
            numbers = " and ".join(str(structures[index][0]) for index in found)
            raise InputError(
                f"{file} has {len(found)} structures called {shown(name)} (numbers {numbers}), expected one; "
                "rename or delete the others."
            )
        if found:
            _check_number(structures, found[0], file)
            return found[0]
    if not wanted and len(structures) == 1:
        return 0
    names = ", ".join(shown(name) for _, name in structures[:MOST_NAMES]) or "none"
    more = f" and {len(structures) - MOST_NAMES} more" if len(structures) > MOST_NAMES else ""
    expected = " or ".join(shown(name) for name in wanted or (CTV,))
    raise InputError(
        f"{file} has the structures {names}{more}; expected one called {expected}, choose with --structure NAME."
    )


def check_same_place(uid: str, other: str, file: str) -> None:
    """Raise GeometryError if two Frame of Reference UIDs differ. An empty UID is unknown and not compared.

    Parameters
    ----------
    uid
        Frame of Reference UID of the file.
    other
        Frame of Reference UID of the other mask.
    file
        Name of the file, for the message.
    """
    if uid and other and uid != other:
        raise GeometryError(
            f"{file} lies in another frame of reference than the mask it is compared with ((0020,0052) Frame of "
            "Reference UID): their millimetres are not the same places; register them, or give masks of one image."
        )


def same_name(one: str, other: str) -> bool:
    """Return whether two structure names are equal, apart from case, surrounding blanks, and _ for a blank."""
    return key(one) == key(other)


def shown(name: str) -> str:
    """Return a structure name for a message, shortened, with ? for each character that cannot be printed."""
    return "".join(letter if letter.isprintable() else "?" for letter in name[:LONGEST_NAME])


def _check_number(structures: Sequence[tuple[int, str]], index: int, file: str) -> None:
    number, name = structures[index]
    if sum(other == number for other, _ in structures) > 1:
        raise InputError(
            f"{file} gives the number {number} to {shown(name)} and to another structure, expected a number for "
            "each; export it again."
        )
