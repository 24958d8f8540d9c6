"""The table of structures: names, labels, codes, parents."""

import json

import pytest

from prostate_seg.errors import SettingsError
from prostate_seg.geometry.structures import CTV, KNOWN, key, structure, structures_of

ROW = {
    "name": "Nodule",
    "label": 40,
    "kind": "stuff",
    "category": {"value": "49755003", "scheme": "SCT", "meaning": "Morphologically Abnormal Structure"},
    "type": {"value": "27925004", "scheme": "SCT", "meaning": "Nodule"},
    "rt_type": "GTV",
    "colour": [1, 2, 3],
    "parent": "CTV",
}


def test_the_urethra_is_part_of_the_ctv_and_has_its_tg_263_name():
    urethra = structure(" Urethra")
    assert (urethra.label, urethra.parent, urethra.tg263, urethra.rt_type) == (7, CTV, "Urethra_Prostatc", "ORGAN")


def test_every_shipped_label_and_colour_and_name_is_used_once():
    assert len({one.label for one in KNOWN.values()}) == len(KNOWN) == 14
    together = ("ctv", "ptv", "peripheral_zone", "transition_zone", "urethra", "rectal_wall", "bladder")
    assert len({KNOWN[name].colour for name in (*together, "seminal_vesicles")}) == 8


def test_zones_exclude_each_other_and_fill_the_ctv():
    zones = [one for one in KNOWN.values() if one.group == "zones"]
    assert [one.name for one in zones] == ["Peripheral zone", "Transition zone"]
    assert {one.parent for one in zones} == {CTV}


def test_an_unknown_name_is_tissue_without_a_radiotherapy_type():
    assert (structure("Balloon").type.meaning, structure("Balloon").rt_type) == ("Tissue", "")
    assert key(" Seminal Vesicles ") == "seminal_vesicles"


def test_a_list_names_shipped_structures_and_describes_others():
    found = structures_of(["Urethra", ROW], "list", known=KNOWN.values())
    assert [(one.name, one.label, one.type.value) for one in found] == [
        ("Urethra", 7, "13648007"),
        ("Nodule", 40, "27925004"),
    ]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "list holds no structures, expected a list of them"),
        ({"name": "Nodule"}, "list holds no structures"),
        (["Nodule"], "list names 'Nodule', which is none of CTV, PTV.*; describe it by an object"),
        ([ROW, ROW | {"label": 41}], "list has two structures called Nodule"),
        ([ROW, ROW | {"name": "Cyst"}], "list gives Nodule and Cyst the label 40; give each its own"),
        ([ROW | {"parent": "Gland"}], "list says that Nodule is part of Gland, which it does not list"),
        ([ROW | {"label": 0}], "gives Nodule the label 0, expected 1 to 255"),
        ([ROW | {"label": True}], "gives Nodule the label True"),
        (
            [ROW | {"colour": [1, 2, 300]}],
            r"gives Nodule the colour \[1, 2, 300\], expected 3 numbers from 0 to 255",
        ),
        ([ROW | {"rt_type": "SEED"}], "gives Nodule the rt_type 'SEED', expected one of CTV, PTV"),
        ([ROW | {"kind": "blob"}], "gives Nodule the kind 'blob', expected one of stuff, thing"),
        ([ROW | {"type": {"value": "1"}}], "gives Nodule the code .*, expected value, scheme and meaning"),
        ([ROW | {"name": "x" * 65}], "expected 1 to 64 characters"),
        ([ROW | {"name": "$__import__('os')"}], "expected 1 to 64 characters: letters, digits"),
        ([ROW | {"name": "a\\b"}], "expected 1 to 64 characters"),
        ([ROW | {"type": {"value": "1" * 17, "scheme": "SCT", "meaning": "x"}}], "at most 16 characters"),
        ([ROW | {"parent": "Nodule"}], "Nodule is part of itself; correct its parent"),
        ([ROW | {"name": "a\nb"}], "expected 1 to 64 characters"),
        ([{"name": "Nodule"}], r"has a structure with \['name'\], expected name, label"),
        ([3], "has a structure with int"),
        ([ROW | {"tg263": 5}], "gives Nodule the tg263 5, expected a name or null"),
    ],
)
def test_a_bad_list_gives_one_sentence(rows, message):
    with pytest.raises(SettingsError, match=message):
        structures_of(rows, "list", known=KNOWN.values())


def test_the_published_schema_accepts_the_shipped_table_and_refuses_a_label_of_0():
    jsonschema = pytest.importorskip("jsonschema")
    from pathlib import Path

    from prostate_seg.geometry import structures

    schema = json.loads((Path(__file__).parents[1] / "docs/structures.schema.json").read_text())
    rows = json.loads((Path(structures.__file__).parent / "structures.json").read_text())
    jsonschema.validate(rows, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate([rows[0] | {"label": 0}], schema)
