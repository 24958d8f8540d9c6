"""What panel and effect do: volumes, segmentations and hints of the scene, answered by the worker."""

import os
import shutil
import uuid

import slicer

from . import checks, nodes, results
from .case import Case
from .client import Client
from .temporary import TemporaryFolder, copied

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
        self.temporary = TemporaryFolder()
        self.cases = {}
        self._scenesClosed = 0
        self._observers = [
            scene.AddObserver(slicer.vtkMRMLScene.NodeRemovedEvent, self._onNodeRemoved),
            scene.AddObserver(slicer.vtkMRMLScene.EndCloseEvent, self._onSceneClosed),
        ]

    def poll(self):
        """Hand over what has arrived. Return whether something is outstanding."""
        return self.client.poll()

    def cancel(self):
        """Stop what is being done. Images and hints are kept."""
        self.client.cancel()

    def use(self, command, environment=None):
        """Use another prostate-seg from now on. Images and hints are kept."""
        self.client.use([*command, "worker"], environment)

    def close(self):
        """End the worker and remove temporary files."""
        for observer in self._observers:
            self.scene.RemoveObserver(observer)
        self.client.close()
        self.cases.clear()
        self.temporary.close()

    def segment(self, volume, *, study="", dicomFiles=(), acquisition=None, done, **replies):
        """Segment a volume of the scene, or a study that Slicer has not loaded.

        The result of an image that was segmented before is shown in the same nodes, unless its grid has changed.

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
        former = self.formerOf(volume, study)
        volume = None if study else volume
        if not study:
            checks.checkVolume(volume, colour=bool(dicomFiles) or (former is not None and former.isFromFiles))
        if former is not None and checks.alive(former.segmentation) is not None:
            checks.checkSegmentation(former.segmentation)
        study = study or (former.study if former else "")
        folder, name, scenesClosed = self.temporary.new(), uuid.uuid4().hex, self._scenesClosed
        try:
            files = copied(former.files if former and former.files else dicomFiles, folder)
            image = study or (os.path.dirname(files[0]) if files else self._written(volume, folder))
        except RuntimeError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        failed = replies.pop("failed", lambda _: None)

        def opened(result):
            if self._scenesClosed != scenesClosed:
                raise RuntimeError("The scene was closed meanwhile; the result was dropped.")
            done(self._shown(name, former, volume, folder, result=result, study=study, files=files))

        def notOpened(sentence):
            if name not in self.cases:
                self.client.forget(name)
                shutil.rmtree(folder, ignore_errors=True)
            failed(sentence)

        stated = {key: value for key, value in (acquisition or {}).items() if value}
        self.client.send(
            "open",
            name,
            image=image,
            folder=folder,
            acquisition=stated,
            done=opened,
            failed=notOpened,
            **replies,
        )

    def formerOf(self, volume, study=""):
        """Return the case that a segmentation of a volume or study would replace, or None."""
        place = os.path.abspath(study) if study else ""
        for case in reversed(list(self.cases.values())):
            if (place and case.study and os.path.abspath(case.study) == place) or (
                not place and case.volume is volume
            ):
                return case
        return None

    def addHint(self, case, hint, *, done, **replies):
        """Add a hint, as in ``hints.json``; ``done`` is called with the case."""
        self._correct("add", case, done, hints=[hint], **replies)

    def undo(self, case, *, done, **replies):
        """Remove the last hint; ``done`` is called with the case."""
        if not case.hints:
            raise RuntimeError("There is no hint to undo.")
        self._correct("undo", case, done, **replies)

    def assess(self, case, *, done, **replies):
        """Renew warnings and uncertainty; ``done`` is called with the case."""
        checks.checkCase(case)

        def assessed(result):
            self._checkAnswered(case)
            checks.checkCase(case)
            results.showAssessment(self.scene, case, result)
            done(case)

        self.client.send("assess", case.name, done=assessed, **replies)

    def suggest(self, case, *, done, **replies):
        """Ask for the most useful next hint; ``done`` is called with the suggestion, or None."""
        checks.checkCase(case)

        def suggested(result):
            self._checkAnswered(case)
            checks.checkCase(case)
            done(result["suggestion"])

        self.client.send("suggest", case.name, done=suggested, **replies)

    def export(self, case, what, output, *, margin="", done, **replies):
        """Write the segmentation as it is in the scene, with all corrections.

        Parameters
        ----------
        what
            ``seg``, ``rtstruct`` (both for a DICOM study only) or ``files``.
        output
            Folder; the files go to a folder in it with the name of the segmentation. If that folder holds the
            export of another image, the name gets a number.
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
        checks.checkCase(case)
        several = len(nodes.segmentNames(case.segmentation)) > 1
        mask = os.path.join(case.folder, f"{results.fileTitle(case.segmentation.GetName())} {what}.seg.nrrd")
        nodes.writeNode(self.scene, case.segmentation, mask)
        self.client.send(
            "export",
            case.name,
            mask=mask,
            output=output,
            formats=formats,
            segment=case.segmentation.GetSegmentation().GetSegment(case.segmentId).GetName(),
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

    def plane(self, case, end, view):
        """Return a hint: the slice of a view is the last one of the gland at its ``apex`` or ``base``.

        ``view`` is SliceToRAS of the view, (4, 4).
        """
        return {"type": "plane", "end": end, "slice": checks.sliceNumber(case, view)}

    def _correct(self, do, case, done, **arguments):
        checks.checkCase(case)

        def answered(result):
            self._checkAnswered(case)
            results.showMask(self.scene, case, result)
            done(case)

        self.client.send(do, case.name, done=answered, **arguments)

    def _checkAnswered(self, case):
        """Raise RuntimeError if the nodes of a case went away while the worker computed."""
        if self.cases.get(case.name) is not case or checks.alive(case.segmentation) is None:
            raise RuntimeError("The volume or its segmentation was removed meanwhile; the answer was dropped.")

    def _written(self, volume, folder):
        """Write a volume node to a file, and return its path."""
        path = os.path.join(folder, "volume.nrrd")
        nodes.writeNode(self.scene, volume, path)
        return path

    def _shown(self, name, former, volume, folder, *, result, study, files):
        """Put the result for an image into the scene, and return its case."""
        if volume is not None and checks.alive(volume) is None:
            raise RuntimeError("The volume was removed meanwhile; the result was dropped.")
        candidate = volume or (checks.alive(former.volume) if former else None)
        if candidate is not None:
            checks.checkNoTransform(candidate)
        title = results.fileTitle(os.path.basename(os.path.normpath(study)) if study else volume.GetName())
        shown = results.imageNode(
            self.scene,
            candidate,
            file=os.path.join(folder, "trus.nrrd"),
            title=title,
            grid=result["grid"],
            isFromFiles=bool(study or files),
        )
        case = Case(name, shown, None, "", folder, result["grid"], result["dicom"], study, files)
        replaced = former if former is not None and former.volume is shown else None
        if replaced is not None:
            results.takeOver(case, replaced)
        if case.segmentation is None:
            results.readSegmentation(self.scene, case, title)
        case.segmentation.SetReferenceImageGeometryParameterFromVolumeNode(shown)
        results.showMask(self.scene, case, result)
        results.showAssessment(self.scene, case, result)
        nodes.showSurface(case.segmentation)
        self.cases[name] = case
        if replaced is not None:
            self._forget(replaced)
        return case

    def _forget(self, case):
        """Forget a case, with its copies of the image."""
        self.cases.pop(case.name, None)
        self.client.forget(case.name)
        shutil.rmtree(case.folder, ignore_errors=True)

    def _onNodeRemoved(self, *_):
        for case in [case for case in self.cases.values() if checks.alive(case.volume) is None]:
            self._forget(case)

    def _onSceneClosed(self, *_):
        self._scenesClosed += 1
        self._onNodeRemoved()
