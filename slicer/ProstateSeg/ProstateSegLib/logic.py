"""What panel and effect do: volumes, segmentations and hints of the scene, answered by the worker."""

import os
import re
import shutil
import tempfile

import numpy as np

from . import nodes
from .case import Case
from .client import Client, unpacked

DICOM_FORMATS = {"seg": "dicom-seg", "rtstruct": "rtstruct", "files": "nifti,stl,report,us-series"}
OTHER_FORMATS = {"files": "nifti,stl,report"}


class ProstateSegLogic:
    """Segmentation, correction and export of volumes of a scene.

    Each method returns at once. What was asked for arrives while ``poll`` is called, by the functions ``done``,
    ``failed`` and ``progress`` of :meth:`.client.Client.send` (the last two are ``replies``). Wrong uses raise
    RuntimeError with one sentence.

    Parameters
    ----------
    scene
        Scene of Slicer.
    command
        Program and arguments that start prostate-seg, without a verb.
    environment
        Environment of the process; None: that of this process.
    """

    def __init__(self, scene, command, environment=None):
        self.scene = scene
        self.client = Client([*command, "worker"], environment)
        self.folder = tempfile.mkdtemp(prefix="prostate-seg-")
        self.cases = {}

    def poll(self):
        """Hand over what has arrived. Return whether something is outstanding."""
        return self.client.poll()

    def cancel(self):
        """Stop what is being done. Images and hints are kept."""
        self.client.cancel()

    def close(self):
        """End the worker and remove temporary files."""
        self.client.close()
        self.cases.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def segment(self, volume, *, study="", dicomFiles=(), acquisition=None, done, **replies):
        """Segment a volume of the scene, or a study that Slicer has not loaded.

        Parameters
        ----------
        volume
            Volume node, or None with a study.
        study
            File or folder. It is read instead of the volume, and shown as a new volume.
        dicomFiles
            DICOM files of the volume. They are read instead of the volume, since Slicer may not read the spacing
            of ultrasound, and DICOM exports need them.
        acquisition
            ``frame_spacing_mm``, ``frame_order`` and ``probe_side``, if the files do not give them.
        done
            Called with the Case.
        """
        self._forget_deleted()
        former = next((case for case in self.cases.values() if not study and case.volume is volume), None)
        if former is None and not study:
            nodes.checkVolume(volume, colour=bool(dicomFiles))
        folder = tempfile.mkdtemp(dir=self.folder)
        if former is not None and former.isFromFiles:
            image = self.client.cases[former.name].arguments["image"]
        else:
            image = study or self._files(dicomFiles, folder) or self._written(volume, folder)
        name = former.name if former else ("study " + os.path.abspath(study) if study else volume.GetID())
        title = _title(os.path.basename(os.path.normpath(study)) if study else volume.GetName())
        isFromFiles = bool(study or dicomFiles) or (former is not None and former.isFromFiles)

        def opened(result):
            case = self._shown(name, title, volume, folder=folder, result=result)
            case.isFromFiles = isFromFiles
            done(case)

        stated = {key: value for key, value in (acquisition or {}).items() if value}
        self.client.send("open", name, image=image, folder=folder, acquisition=stated, done=opened, **replies)

    def addHint(self, case, hint, *, done, **replies):
        """Add a hint, as in ``hints.json``; ``done`` is called with the case."""
        self._ask("add", case, done, hints=[hint], **replies)

    def undo(self, case, *, done, **replies):
        """Remove the last hint; ``done`` is called with the case."""
        if not case.hints:
            raise RuntimeError("There is no hint to undo.")
        self._ask("undo", case, done, **replies)

    def assess(self, case, *, done, **replies):
        """Renew warnings and uncertainty; ``done`` is called with the case."""

        def assessed(result):
            case.warnings = result["warnings"]
            self._showUncertainty(case, result["doubt"])
            done(case)

        self.client.send("assess", case.name, done=assessed, **replies)

    def suggest(self, case, *, done, **replies):
        """Ask for the most useful next hint; ``done`` is called with the suggestion, or None."""

        def suggested(result):
            done(result["suggestion"])

        self.client.send("suggest", case.name, done=suggested, **replies)

    def export(self, case, what, output, *, margin="", done, **replies):
        """Write the segmentation as it is in the scene, with all corrections.

        Parameters
        ----------
        what
            ``seg``, ``rtstruct`` (both for a DICOM study only) or ``files``.
        output
            Folder; the files go to a folder in it with the name of the segmentation.
        margin
            Margin of a PTV in mm, such as ``3`` or ``3,posterior=0``, for ``rtstruct``.
        done
            Called with the folder, the names of the files, and remarks.
        """
        formats = (DICOM_FORMATS if case.isDicom else OTHER_FORMATS).get(what)
        if formats is None:
            raise RuntimeError(
                "DICOM exports refer to the images of a DICOM study; load the study by Slicer's DICOM module, or "
                "give its files as the study."
            )
        if not output:
            raise RuntimeError("No folder for the export is chosen; choose one.")
        segment = case.segmentation.GetSegmentation().GetSegment(case.segmentId)
        if self._alive(case.segmentation) is None or segment is None:
            raise RuntimeError("The segment of the CTV was deleted; segment the volume again.")
        several = len(nodes.segmentNames(case.segmentation)) > 1
        mask = os.path.join(case.folder, f"{_title(case.segmentation.GetName())} {what}.seg.nrrd")
        nodes.writeNode(self.scene, case.segmentation, mask)
        self.client.send(
            "export",
            case.name,
            mask=mask,
            output=output,
            formats=formats,
            segment=segment.GetName(),
            structures=["all"] if several else [],
            ptv_margin=margin if what == "rtstruct" else "",
            done=lambda result: done(result["folder"], result["outputs"], result["notes"]),
            **replies,
        )

    def caseOf(self, *, volume=None, segmentation=None):
        """Return the case of a volume or segmentation node. Raise RuntimeError if there is none."""
        for case in self.cases.values():
            if (segmentation is not None and case.segmentation is segmentation) or (
                volume is not None and case.volume is volume
            ):
                return case
        raise RuntimeError(
            "This volume has not been segmented yet; press Segment in the module Prostate segmentation."
        )

    def point(self, side, ras):
        """Return a hint: a point that lies ``inside``, ``outside`` or on the ``boundary``."""
        return {"type": "point", "side": side, "at_mm": [float(value) for value in ras]}

    def plane(self, case, end, ras):
        """Return a hint: the slice through a point is the last one of the gland at its ``apex`` or ``base``."""
        slices = case.grid["slices"]
        at = np.linalg.inv(np.array(case.grid["affine"])) @ [*ras, 1.0]
        number = int(np.rint(at[slices["axis"]])) + 1
        if not 1 <= number <= slices["count"]:
            raise RuntimeError(f"The slice view shows no slice of {case.volume.GetName()}; scroll to one.")
        return {"type": "plane", "end": end, "slice": number}

    def _forget_deleted(self):
        gone = [name for name, case in self.cases.items() if self._alive(case.segmentation) is None]
        for name in gone:
            del self.cases[name]
            if self.client.running:
                self.client.send("close", name)

    def _files(self, dicomFiles, folder):
        """Copy the DICOM files of a volume into a folder of their own, and return it."""
        if not dicomFiles:
            return ""
        study = os.path.join(folder, "study")
        os.mkdir(study)
        for number, file in enumerate(dicomFiles):
            shutil.copyfile(file, os.path.join(study, f"{number:05d}.dcm"))
        return study

    def _written(self, volume, folder):
        """Write a volume node to a file, and return its path."""
        path = os.path.join(folder, "volume.nrrd")
        nodes.writeNode(self.scene, volume, path)
        return path

    def _ask(self, do, case, done, **arguments):
        def answered(result):
            self._show(case, result)
            done(case)

        self.client.send(do, case.name, done=answered, **arguments)

    def _shown(self, name, title, volume, *, folder, result):
        """Put the result for an image into the scene, and return its case. Former nodes are used again."""
        former = self.cases.get(name)
        if volume is None or not nodes.sameGrid(volume, result["grid"]):
            volume = self._alive(former.volume) if former else None
            volume = volume or nodes.readNode(
                self.scene, "ScalarVolume", os.path.join(folder, "trus.nrrd"), f"{title} (prostate-seg)"
            )
        segmentation = self._alive(former.segmentation) if former else None
        if segmentation is None:
            file = os.path.join(folder, "ctv.seg.nrrd")
            segmentation = nodes.readNode(self.scene, "Segmentation", file, f"{title} CTV")
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        segmentId = former.segmentId if former else segmentation.GetSegmentation().GetNthSegmentID(0)
        case = Case(
            name,
            volume,
            segmentation,
            segmentId,
            folder,
            result["grid"],
            result["dicom"],
            [],
            result["warnings"],
            0.0,
        )
        if former:
            case.uncertainty, case.hintsNode = former.uncertainty, former.hintsNode
        self.cases[name] = case
        self._show(case, result)
        self._showUncertainty(case, result["doubt"])
        nodes.showSurface(segmentation)
        return case

    def _show(self, case, result):
        nodes.setMask(case.segmentation, case.segmentId, unpacked(result["mask"]), case.grid["affine"])
        case.volumeMl = result["volume_ml"]
        case.hints = result["hints"]["hints"]
        if case.hints or case.hintsNode:
            case.hintsNode = nodes.setHints(self.scene, self._alive(case.hintsNode), case.hints, case.volume)

    def _showUncertainty(self, case, doubt):
        node = self._alive(case.uncertainty)
        case.uncertainty = nodes.setUncertainty(self.scene, node, unpacked(doubt), case.volume)

    def _alive(self, node):
        return node if node is not None and node.GetScene() is not None else None


def _title(name):
    """Return a name that can be that of a file."""
    return re.sub(r"[^\w .()-]+", "_", name).strip(" .") or "volume"
