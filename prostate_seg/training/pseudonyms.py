"""Names without identity for cases and patients: P001, P002, ..., and P001-1, P001-2, ... for their images."""

from __future__ import annotations

from collections.abc import Mapping


def pseudonyms(
    people: Mapping[str, str], known: Mapping[str, tuple[str, str]] | None = None
) -> dict[str, tuple[str, str]]:
    """Return the name of the case and the pseudonym of the patient for each image.

    Patients are numbered in the order in which they come, because a hash of a short ID can be guessed. Images that
    are known keep their names, and so do their patients.

    Parameters
    ----------
    people
        ID of the patient, by the key of the image.
    known
        Name and pseudonym of images of an earlier run, by the key of the image.
    """
    known = known or {}
    of_person = {people[key]: known[key][1] for key in people if key in known}
    names, patients = ({pair[part] for pair in known.values()} for part in (0, 1))
    found = {}
    for key, person in people.items():
        if person not in of_person:
            of_person[person] = _free("P{:03}", patients)
            patients.add(of_person[person])
        name = known[key][0] if key in known else _free(f"{of_person[person]}-{{}}", names)
        names.add(name)
        found[key] = (name, of_person[person])
    return found


def _free(form: str, taken: set[str]) -> str:
    number = 1
    while form.format(number) in taken:
        number += 1
    return form.format(number)
