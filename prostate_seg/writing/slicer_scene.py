"""A 3D Slicer scene (``.mrb``): volume, segmentation, surface and uncertainty, with terminology and colours.

The scene is written without Slicer. It shows the CTV as soon as it is loaded: the volume in the red, green and
yellow slice views, the contour over it, and the surface in the 3D view.
"""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

from ..errors import OutputError
from ..geometry.entropy import entropy_percent
from ..geometry.structures import CTV, KNOWN, TARGET, structure
from ..geometry.volume import Segmentation, Volume, same_grid
from ..system.atomic import checked_suffix, replacing
from .nrrd import TARGET_CONTEXT, layered, write_nrrd, write_seg_nrrd
from .request import Request
from .surface import surface_of, write_surface
from .things import Markup, lines, points

FIRST_DAY = (1980, 1, 1, 0, 0, 0)  # date of every file in the archive, so that the same scene gives the same bytes
VIEWS = ("Red", "Green", "Yellow")


def write_scene(path: str | os.PathLike[str], volume: Volume, segmentation: Segmentation) -> None:
    """Write a scene to ``.mrb``.

    If the segmentation has a probability, the scene contains its entropy as uncertainty. Raise OutputError if the
    mask is empty or lies on another grid.
    """
    path = Path(path)
    checked_suffix(path, ".mrb")
    if not same_grid(volume, segmentation):
        raise OutputError(f"Cannot write {path.name}: the mask is not on the volume's grid; resample it first.")
    surface = surface_of(segmentation)
    name = path.name[: -len(".mrb")]
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        write_nrrd(data / "TRUS.nrrd", volume)
        write_seg_nrrd(data / "CTV.seg.nrrd", segmentation)
        write_surface(data / "CTV surface.vtk", surface)
        if segmentation.probability is not None:
            doubt = entropy_percent(segmentation.probability)
            write_nrrd(data / "CTV uncertainty.nrrd", Volume(doubt, segmentation.affine))
        (data / "prostate_targets.term.json").write_text(terminology(), encoding="utf-8")
        (data / "prostate_structures.ctbl").write_text(colour_table(segmentation), encoding="utf-8")
        for markup in (*lines(segmentation), *points(segmentation)):
            (data / f"{markup.name}.mrk.json").write_text(markup.content, encoding="utf-8")
        scene = _scene(segmentation)
        with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
            _add(archive, f"{name}/{name}.mrml", scene.encode(), zipfile.ZIP_DEFLATED)
            for file in sorted(data.iterdir()):
                packed = zipfile.ZIP_STORED if file.suffix == ".nrrd" else zipfile.ZIP_DEFLATED
                _add(archive, f"{name}/Data/{file.name}", file.read_bytes(), packed)


def terminology() -> str:
    """Return the targets as a Slicer terminology file (JSON).

    After this file is loaded, the targets can be chosen in the Segment Editor.
    """
    types = [
        {
            "CodeMeaning": target.type.meaning,
            "CodeValue": target.type.value,
            "CodingSchemeDesignator": target.type.scheme,
            "recommendedDisplayRGBValue": list(target.colour),
        }
        for target in KNOWN.values()
        if target.category == TARGET
    ]
    category = {
        "CodeMeaning": TARGET.meaning,
        "CodeValue": TARGET.value,
        "CodingSchemeDesignator": TARGET.scheme,
        "showAnatomy": True,
        "Type": types,
    }
    content = {"SegmentationCategoryTypeContextName": TARGET_CONTEXT, "SegmentationCodes": {"Category": [category]}}
    return json.dumps(content, indent=1) + "\n"


def colour_table(segmentation: Segmentation) -> str:
    """Return the colours of all structures as a Slicer colour table (``.ctbl``)."""
    names = {segment.value: segment.name for segment in layered(segmentation, "the colour table")[1]}
    lines = [f"# Color table of prostate-seg\n# {max(names, default=0) + 1} values\n0 background 0 0 0 0\n"]
    for label, name in sorted(names.items()):
        red, green, blue = segmentation.meaning(name).colour
        lines.append(f"{label} {name.replace(' ', '_')} {red} {green} {blue} 255\n")
    return "".join(lines)


def _add(archive: zipfile.ZipFile, name: str, content: bytes, packed: int) -> None:
    archive.writestr(zipfile.ZipInfo(name, FIRST_DAY), content, packed, compresslevel=1)


def _scene(segmentation: Segmentation) -> str:
    """Return the scene as MRML."""
    colour = " ".join(f"{part / 255:.3f}" for part in structure(CTV).colour)
    nodes = [
        *_volume(1, "TRUS", "vtkMRMLColorTableNodeGrey"),
        _node("Selection", "vtkMRMLSelectionNodeSingleton", "Selection", singletonTag="Singleton",
              references=f"ActiveVolume:{_id('ScalarVolume')};"),
        *(_node("SliceComposite", f"vtkMRMLSliceCompositeNode{view}", "SliceComposite", singletonTag=view,
                layoutName=view, references=f"backgroundVolume:{_id('ScalarVolume')};") for view in VIEWS),
        _node("ColorTable", _id("ColorTable"), "Prostate structures", type="13",
              references=f"storage:{_id('ColorTableStorage')};"),
        _node("ColorTableStorage", _id("ColorTableStorage"), "Prostate structures",
              fileName="Data/prostate_structures.ctbl"),
        _node("Segmentation", _id("Segmentation"), CTV, references=(
            f"display:{_id('SegmentationDisplay')};storage:{_id('SegmentationStorage')};"
            f"referenceImageGeometryRef:{_id('ScalarVolume')};")),
        _node("SegmentationDisplay", _id("SegmentationDisplay"), "CTV display", visibility="true",
              Visibility2DFill="true", Visibility2DOutline="true", Opacity2DFill="0.2", Opacity2DOutline="1",
              PreferredDisplayRepresentationName2D="Binary labelmap"),
        _node("SegmentationStorage", _id("SegmentationStorage"), "CTV storage", fileName="Data/CTV.seg.nrrd",
              CropToMinimumExtent="false"),
        _node("Model", _id("Model"), "CTV surface",
              references=f"display:{_id('ModelDisplay')};storage:{_id('ModelStorage')};"),
        _node("ModelDisplay", _id("ModelDisplay"), "CTV surface display", color=colour, opacity="0.5",
              visibility="true", visibility2D="false"),
        _node("ModelStorage", _id("ModelStorage"), "CTV surface storage", fileName="Data/CTV surface.vtk",
              coordinateSystem="LPS"),
    ]  # fmt: skip
    nodes += _markups("MarkupsLine", lines(segmentation))
    nodes += _markups("MarkupsFiducial", points(segmentation))
    if segmentation.probability is not None:
        nodes += _volume(2, "CTV uncertainty", "vtkMRMLColorTableNodeIron")
    body = "\n".join(f" {node}" for node in nodes)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<MRML version="Slicer 5.8.1" userTags="">\n{body}\n</MRML>\n'


def _markups(kind: str, markups: Sequence[Markup]) -> list[str]:
    """Return nodes of markups: lines or lists of points, each in a file of its own."""
    display = f"{kind.removesuffix('Line').removesuffix('Fiducial')}{'Fiducial' * kind.endswith('Fiducial')}Display"
    nodes = []
    hidden = {"propertiesLabelVisibility": "false", "pointLabelsVisibility": "false"}
    for number, one in enumerate(markups, 1):
        own = [_id(f"{kind}{part}", number) for part in ("", "Display", "Storage")]
        nodes += [
            _node(kind, own[0], one.name, references=f"display:{own[1]};storage:{own[2]};"),
            _node(display, own[1], f"{one.name} display", visibility="true", **(hidden if one.bare else {})),
            _node("MarkupsJsonStorage", own[2], f"{one.name} storage", fileName=f"Data/{one.name}.mrk.json",
                  coordinateSystem="LPS"),
        ]  # fmt: skip
    return nodes


def _volume(number: int, name: str, colours: str) -> list[str]:
    ids = {kind: _id(kind, number) for kind in ("ScalarVolumeDisplay", "VolumeArchetypeStorage")}
    display, storage = ids["ScalarVolumeDisplay"], ids["VolumeArchetypeStorage"]
    return [
        _node("Volume", _id("ScalarVolume", number), name, references=f"display:{display};storage:{storage};"),
        _node("VolumeDisplay", display, f"{name} display", colorNodeID=colours, autoWindowLevel="1"),
        _node("VolumeArchetypeStorage", storage, f"{name} storage", fileName=f"Data/{name}.nrrd"),
    ]


def _id(kind: str, number: int = 1) -> str:
    return f"vtkMRML{kind}Node{number}"


def _node(kind: str, identifier: str, name: str, **attributes: str) -> str:
    given = {"id": identifier, "name": name, **attributes}
    return f"<{kind} {' '.join(f'{key}={quoteattr(value)}' for key, value in given.items())}></{kind}>"


def write_structures(path: Path, request: Request) -> None:
    """Write the volume with the CTV and further structures as a scene."""
    write_scene(path, request.contoured.volume, request.contoured.segmentation)
