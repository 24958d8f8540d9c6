"""Names without identity for cases and patients: P001, P002, ..., and P001-1, P001-2, ... for their images."""

from __future__ import annotations

from collections.abc import Mapping

from .records import Known


def pseudonyms(people: Mapping[str, str], known: Known | None = None) -> dict[str, tuple[str, str]]:
    """Return the name of the case and the pseudonym of the patient for each image.

    Patients are numbered in the order in which they come, because a hash of a short ID can be guessed. Images and
    patients that are known keep their names.

    Parameters
    ----------
    people
        ID of the patient, by the key of the image.
    known
        Cases and patients of earlier runs.
    """
    known = known or Known()
    digests = {person: known.digest(person) for person in people.values()}
    of_person = {person: known.patients[one] for person, one in digests.items() if one in known.patients}
    of_person |= {people[key]: known.cases[key][1] for key in people if key in known.cases}
    names = {name for name, _ in known.cases.values()}
    patients = {patient for _, patient in known.cases.values()} | set(known.patients.values())
    found = {}
    for key, person in people.items():
        if person not in of_person:
            of_person[person] = _free("P{:03}", patients)
            patients.add(of_person[person])
        name = known.cases[key][0] if key in known.cases else _free(f"{of_person[person]}-{{}}", names)
        names.add(name)
        found[key] = (name, of_person[person])
    return found


def _free(form: str, taken: set[str]) -> str:
    number = 1
    while form.format(number) in taken:
        number += 1
    return form.format(number)
