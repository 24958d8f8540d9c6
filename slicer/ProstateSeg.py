"""3D Slicer module that segments the prostate in ultrasound with prostate-seg and exports a corrected contour.

prostate-seg runs as a console process in a separate environment. Its executable is set once in the module. Nothing
is installed into Slicer's Python. The module is this file only. To install it, add the folder of this file in Edit
> Application Settings > Modules > Additional module paths. Research use only.
"""

import io
import os
import subprocess
import tempfile
import zipfile

import slicer
import vtk

try:
    import ctk
    import qt
    from slicer.ScriptedLoadableModule import (
        ScriptedLoadableModule,
        ScriptedLoadableModuleLogic,
        ScriptedLoadableModuleWidget,
    )
except ImportError:  # slicer-core has no Qt; the logic works without Qt
    ctk = qt = None
    ScriptedLoadableModule = ScriptedLoadableModuleLogic = ScriptedLoadableModuleWidget = object

SETTING = "ProstateSeg/executable"
DICOM_FORMATS = ("dicom-seg", "rtstruct", "us-series", "nifti", "stl")
OTHER_FORMATS = ("nifti", "stl", "report")  # for a NIfTI, NRRD or MetaImage study; the report shows all structures


class ProstateSeg(ScriptedLoadableModule):
    """Title, category and help text of the module in Slicer's module list."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = "Prostate segmentation (TRUS)"
        parent.categories = ["Segmentation"]
        parent.dependencies = []
        parent.contributors = ["prostate-seg developers"]
        parent.helpText = (
            "Outlines the prostate in transrectal ultrasound. Set the prostate-seg executable once, choose a "
            "study, press Segment, correct the contour in the Segment Editor, press Export. Research use only."
        )
        parent.acknowledgementText = "Uses prostate-seg (Apache-2.0)."


class ProstateSegLogic(ScriptedLoadableModuleLogic):
    """Commands of prostate-seg and the loading of their results into the scene. Qt is not needed."""

    def __init__(self, scene=None):
        if ScriptedLoadableModuleLogic is not object:
            ScriptedLoadableModuleLogic.__init__(self)
        self.scene = scene or slicer.mrmlScene

    def segmentCommand(self, executable, study, folder, **reading):
        """Return the command that segments a study into a folder of cases; ``reading`` as in readingOptions."""
        return [executable, "segment", study, "-o", folder, "--overwrite", *self.readingOptions(**reading)]

    def readingOptions(self, frameSpacing=None, frameOrder=None, probeSide=None):
        """Return options for facts missing in the study's files; segment and export need the same options."""
        stated = {"--frame-spacing": frameSpacing, "--frame-order": frameOrder, "--probe-side": probeSide}
        return [part for option, value in stated.items() if value for part in (option, str(value))]

    def formats(self, study):
        """Return the export formats for a study.

        DICOM formats refer to the images of the study, so they need a DICOM study.
        """
        return DICOM_FORMATS if self.isDicom(study) else OTHER_FORMATS

    def isDicom(self, study):
        """Return whether a file, or any file in a folder or zip, is DICOM by its suffix or its content."""
        paths = [os.path.join(place, name) for place, _, names in os.walk(study) for name in names] or [study]
        for path in paths:
            try:
                if os.path.isfile(path) and zipfile.is_zipfile(path):
                    with zipfile.ZipFile(path) as archive:
                        found = any(self._isDicomFile(archive.open, name) for name in archive.namelist())
                else:
                    found = os.path.isfile(path) and self._isDicomFile(io.FileIO, path)
            except (OSError, RuntimeError, zipfile.BadZipFile):
                continue
            if found:
                return True
        return False

    def _isDicomFile(self, opened, name):
        if name.lower().endswith((".dcm", ".dicom")):
            return True
        with opened(name) as file:
            return file.read(132)[128:] == b"DICM"

    def exportCommand(
        self, executable, mask, study, folder, *, formats, segment=None, structures=(), margin=None, **reading
    ):
        """Return the command that exports a saved segmentation; ``reading`` as in readingOptions."""
        command = [executable, "export", mask, "--source", study, "-o", folder, "--format", ",".join(formats)]
        command += ["--overwrite", *self.readingOptions(**reading)]
        if segment:
            command += ["--segment", segment]
        for name in structures:
            command += ["--structure", name]
        if margin:
            command += ["--ptv-margin", margin]
        return command

    def run(self, command, logCallback=None):
        """Run a command and wait until it ends.

        Parameters
        ----------
        command
            Program and arguments.
        logCallback
            Called with each printed line.

        Returns
        -------
        list of str
            The printed lines.

        Raises
        ------
        RuntimeError
            The command failed (the text is its last printed line) or cannot be started.
        """
        lines = []

        def log(line):
            lines.append(line)
            if logCallback:
                logCallback(line)

        try:
            process = slicer.util.launchConsoleProcess(command, useStartupEnvironment=hasattr(slicer, "app"))
            slicer.util.logProcessOutput(process, log)
        except subprocess.CalledProcessError:
            raise RuntimeError(lines[-1] if lines else f"{command[0]} failed without a word.") from None
        except OSError as error:
            raise RuntimeError(
                f"{command[0]} cannot be started ({error.strerror}); set the path of prostate-seg."
            ) from error
        return lines

    def cases(self, lines):
        """Return the folders of the cases that a command has written, from its printed lines."""
        return [os.path.dirname(line) for line in lines if os.path.basename(line) == "ctv.seg.nrrd"]

    def loadCase(self, folder):
        """Load volume and segmentation of a case into the scene, and return their nodes."""
        name = os.path.basename(os.path.normpath(folder))
        volume = self.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        self._read(slicer.vtkMRMLVolumeArchetypeStorageNode(), os.path.join(folder, "trus.nrrd"), volume)
        volume.CreateDefaultDisplayNodes()
        segmentation = self.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"{name} CTV")
        self._read(slicer.vtkMRMLSegmentationStorageNode(), os.path.join(folder, "ctv.seg.nrrd"), segmentation)
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        segmentation.CreateDefaultDisplayNodes()
        return volume, segmentation

    def saveSegmentation(self, segmentation, path):
        """Save a segmentation as ``.seg.nrrd``. Raise RuntimeError if the file cannot be written."""
        storage = slicer.vtkMRMLSegmentationStorageNode()
        self.scene.AddNode(storage)
        storage.SetFileName(path)
        saved = storage.WriteData(segmentation)
        self.scene.RemoveNode(storage)
        if not saved:
            raise RuntimeError(f"{path} cannot be written; choose another folder.")

    def segmentNames(self, segmentation):
        """Return the names of a segmentation's segments."""
        found = segmentation.GetSegmentation()
        return [found.GetNthSegment(index).GetName() for index in range(found.GetNumberOfSegments())]

    def volumeMl(self, segmentation, index=0):
        """Return the volume of a segment in millilitres."""
        image = slicer.vtkOrientedImageData()
        identifier = segmentation.GetSegmentation().GetNthSegmentID(index)
        segmentation.GetBinaryLabelmapRepresentation(identifier, image)
        count = vtk.vtkImageAccumulate()
        count.SetInputData(image)
        count.IgnoreZeroOn()
        count.Update()
        spacing = image.GetSpacing()
        return count.GetVoxelCount() * spacing[0] * spacing[1] * spacing[2] / 1000.0

    def _read(self, storage, path, node):
        self.scene.AddNode(storage)
        storage.SetFileName(path)
        if not storage.ReadData(node):
            raise RuntimeError(f"{path} cannot be read; segment the study again.")
        node.SetAndObserveStorageNodeID(storage.GetID())


class ProstateSegWidget(ScriptedLoadableModuleWidget):
    """Panel of the module with the sections Segment and Export."""

    def setup(self):
        """Build the panel."""
        ScriptedLoadableModuleWidget.setup(self)
        self.logic = ProstateSegLogic()
        self.executable = self._path(ctk.ctkPathLineEdit.Files, qt.QSettings().value(SETTING) or "prostate-seg")
        self.study = self._path(ctk.ctkPathLineEdit.Dirs | ctk.ctkPathLineEdit.Files, "")
        self.output = self._path(ctk.ctkPathLineEdit.Dirs, tempfile.gettempdir())
        self.spacing = qt.QDoubleSpinBox()
        self.spacing.setRange(0, 100)
        self.spacing.suffix, self.spacing.specialValueText = " mm", "as the file says"
        self.order = self._choice("", "base-to-apex", "apex-to-base")
        self.probe = self._choice("", "bottom", "top")
        self.segmentation = slicer.qMRMLNodeComboBox()
        self.segmentation.nodeTypes = ["vtkMRMLSegmentationNode"]
        self.segmentation.setMRMLScene(slicer.mrmlScene)
        self.margin = qt.QLineEdit()
        self.margin.placeholderText = "none; 3, or 3,posterior=0"
        self.log = qt.QPlainTextEdit()
        self.log.readOnly = True
        asked = {
            "prostate-seg:": self.executable,
            "Study:": self.study,
            "Results:": self.output,
            "Frame spacing:": self.spacing,
            "Frames run:": self.order,
            "Probe at the:": self.probe,
        }
        self._section("Segment", asked, self.onSegment)
        handed = {"Segmentation:": self.segmentation, "PTV margin (mm):": self.margin}
        self._section("Export", handed, self.onExport)
        self.layout.addWidget(self.log)

    def onSegment(self):
        """Segment the study and load its cases."""
        qt.QSettings().setValue(SETTING, self.executable.currentPath)
        command = self.logic.segmentCommand(
            self.executable.currentPath, self.study.currentPath, self.output.currentPath, **self.reading()
        )
        with slicer.util.tryWithErrorDisplay("The study was not segmented.", waitCursor=True):
            lines = self.logic.run(command, self.log.appendPlainText)
            for folder in self.logic.cases(lines):
                volume, segmentation = self.logic.loadCase(folder)
                slicer.util.setSliceViewerLayers(background=volume, fit=True)
                self.log.appendPlainText(f"{volume.GetName()}: {self.logic.volumeMl(segmentation):.1f} mL")

    def onExport(self):
        """Save the chosen segmentation and export it in all formats that the study allows."""
        with slicer.util.tryWithErrorDisplay("The segmentation was not exported.", waitCursor=True):
            node = self.segmentation.currentNode()
            if node is None:
                raise RuntimeError("Choose a segmentation first.")
            names = self.logic.segmentNames(node)
            with tempfile.TemporaryDirectory() as folder:
                mask = os.path.join(folder, f"{node.GetName()}.seg.nrrd")
                self.logic.saveSegmentation(node, mask)
                command = self.logic.exportCommand(
                    self.executable.currentPath, mask, self.study.currentPath,
                    os.path.join(self.output.currentPath, "exported"),
                    formats=self.logic.formats(self.study.currentPath),
                    segment="CTV" if "CTV" in names else names[0], structures=[n for n in names[1:] if n != "CTV"],
                    margin=self.margin.text, **self.reading(),
                )  # fmt: skip
                self.logic.run(command, self.log.appendPlainText)

    def reading(self):
        """Return the keyword arguments of readingOptions from the panel."""
        return {
            "frameSpacing": self.spacing.value,
            "frameOrder": self.order.currentText,
            "probeSide": self.probe.currentText,
        }

    def _section(self, title, rows, action):
        box = ctk.ctkCollapsibleButton()
        box.text = title
        form = qt.QFormLayout(box)
        for label, widget in rows.items():
            form.addRow(label, widget)
        button = qt.QPushButton(title)
        button.connect("clicked(bool)", lambda _: action())
        form.addRow(button)
        self.layout.addWidget(box)

    def _path(self, kinds, value):
        line = ctk.ctkPathLineEdit()
        line.filters, line.currentPath = kinds, value
        return line

    def _choice(self, *names):
        box = qt.QComboBox()
        box.addItems(names)
        return box
