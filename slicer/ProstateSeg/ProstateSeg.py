"""3D Slicer module that segments the prostate in ultrasound, shows how far to trust the result, and exports it.

prostate-seg runs as a process of its own, in Slicer's Python or in an environment of its own. Corrections are made
in the Segment Editor, with the effect prostate-seg. Research use only.
"""

import functools
import os
import subprocess
import tempfile

import slicer
from ProstateSegLib import application
from ProstateSegLib.nodes import readNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleWidget

EFFECT = "prostate-seg"
SAMPLE_SEED = 3
FRAME_ORDERS = (None, "base-to-apex", "apex-to-base")  # in the order of the panel's lists
PROBE_SIDES = (None, "bottom", "top")


class ProstateSeg(ScriptedLoadableModule):
    """Title, category and help text of the module in Slicer's module list."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Prostate segmentation (TRUS)")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["Segmentations"]
        parent.contributors = ["prostate-seg developers"]
        parent.helpText = _(
            "Outlines the prostate in transrectal ultrasound. Choose a volume, press Segment, correct the contour "
            "in the Segment Editor with the effect prostate-seg, and export it. Research use only."
        )
        parent.acknowledgementText = _("Uses prostate-seg (Apache-2.0).")
        slicer.app.connect("startupCompleted()", registerSampleData)
        slicer.app.connect("aboutToQuit()", application.stop)


def registerSampleData():
    """Add a phantom to the module Sample Data. It is made on this computer, not downloaded."""
    from SampleData import SampleDataLogic

    SampleDataLogic.registerCustomSampleDataSource(
        category=_("Prostate segmentation"),
        sampleName="ProstatePhantom",
        customDownloader=makePhantom,
        thumbnailFileName=os.path.join(os.path.dirname(__file__), "Resources", "Icons", "ProstatePhantom.png"),
    )


def makePhantom(source=None):
    """Return a new volume node with an ultrasound phantom of prostate-seg."""
    command, environment = application.program(application.executable(), slicer.util.confirmOkCancelDisplay)
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["phantom", folder, "--seed", str(SAMPLE_SEED), "--quiet"]
        done = subprocess.run([*command, *arguments], env=environment, check=False, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"The phantom was not made: {done.stderr.strip() or command[0]}")
        image = os.path.join(folder, "images", f"phantom{SAMPLE_SEED}.nii.gz")
        return readNode(slicer.mrmlScene, "ScalarVolume", image, "ProstatePhantom")


def shown(method):
    """Return a method of the panel that shows a RuntimeError as a message."""

    @functools.wraps(method)
    def guarded(self, *_arguments):
        try:
            method(self)
        except RuntimeError as error:
            self.failed(str(error))

    return guarded


class ProstateSegWidget(ScriptedLoadableModuleWidget):
    """Panel of the module: segment, result, correction, export, installation."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        self.case = None

    def setup(self):
        """Build the panel from its .ui file."""
        ScriptedLoadableModuleWidget.setup(self)
        panel = slicer.util.loadUI(self.resourcePath("UI/ProstateSeg.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)
        self.ui.executable.currentPath = application.executable()
        self.ui.output.currentPath = os.path.expanduser("~")
        self.ui.executable.connect("currentPathChanged(QString)", application.setExecutable)
        self.ui.volume.connect("currentNodeChanged(vtkMRMLNode*)", self.onVolume)
        self.ui.uncertainty.connect("toggled(bool)", self.onUncertainty)
        for button, action in (
            (self.ui.segment, self.onSegment), (self.ui.cancel, self.onCancel), (self.ui.suggest, self.onSuggest),
            (self.ui.undo, self.onUndo), (self.ui.assess, self.onAssess), (self.ui.editor, self.onEditor),
            (self.ui.exportSeg, self.onExportSeg), (self.ui.exportRtstruct, self.onExportRtstruct),
            (self.ui.exportFiles, self.onExportFiles),
        ):  # fmt: skip
            button.connect("clicked(bool)", action)
        self.update(busy=False)

    def onVolume(self, volume):
        """Show the result of the chosen volume, if there is one."""
        try:
            self.case = application.runningLogic().caseOf(volume=volume)
        except RuntimeError:
            self.case = None
        self.update(busy=False)

    @shown
    def onSegment(self):
        """Segment the chosen volume, or the study if one is given."""
        volume, study = self.ui.volume.currentNode(), self.ui.study.currentPath.strip()
        stated = {
            "frame_spacing_mm": self.ui.frameSpacing.value,
            "frame_order": FRAME_ORDERS[self.ui.frameOrder.currentIndex],
            "probe_side": PROBE_SIDES[self.ui.probeSide.currentIndex],
        }
        logic = application.logic(slicer.util.confirmOkCancelDisplay)
        files = [] if study else application.dicomFiles(volume)
        logic.segment(
            volume, study=study, dicomFiles=files, acquisition=stated, done=self.segmented, **self.remarks()
        )
        self.start()

    def segmented(self, case):
        """Show a new result."""
        self.ui.study.currentPath = ""
        self.ui.volume.setCurrentNode(case.volume)
        self.case = case
        slicer.util.setSliceViewerLayers(background=case.volume, fit=True)
        self.onUncertainty(self.ui.uncertainty.checked)
        self.say(_("Segmented."))

    @shown
    def onCancel(self):
        """Stop what is being done."""
        application.runningLogic().cancel()

    @shown
    def onUndo(self):
        """Remove the last hint."""
        application.runningLogic().undo(self.current(), done=self.answered, **self.remarks())
        self.start()

    @shown
    def onAssess(self):
        """Renew warnings and uncertainty after corrections."""
        application.runningLogic().assess(self.current(), done=self.answered, **self.remarks())
        self.start()

    def answered(self, case):
        """Show what has changed."""
        self.case = case
        self.say("")

    @shown
    def onSuggest(self):
        """Show the place that would help most."""
        application.runningLogic().suggest(self.current(), done=self.suggested, **self.remarks())
        self.start()

    def suggested(self, suggestion):
        """Move the slice views to a suggestion."""
        if suggestion is None:
            self.say(_("No further hint would change much."))
            return
        slicer.modules.markups.logic().JumpSlicesToLocation(*suggestion["at_mm"], True)
        self.say(
            _("Click the boundary of the gland near the crosshair, on slice {slice}.").format(
                slice=suggestion["slice"]
            )
        )

    @shown
    def onEditor(self):
        """Open the Segment Editor with the effect prostate-seg for the result."""
        case = self.current()
        slicer.util.selectModule("SegmentEditor")
        editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
        editor.setSegmentationNode(case.segmentation)
        editor.setSourceVolumeNode(case.volume)
        editor.setCurrentSegmentID(case.segmentId)
        editor.setActiveEffectByName(EFFECT)

    @shown
    def onExportSeg(self):
        """Export a DICOM Segmentation."""
        self.export("seg")

    @shown
    def onExportRtstruct(self):
        """Export a DICOM RT Structure Set, with a PTV if a margin is given."""
        self.export("rtstruct")

    @shown
    def onExportFiles(self):
        """Export NIfTI, surface and report; for DICOM a derived series too."""
        self.export("files")

    def export(self, what):
        """Export the segmentation as it is in the scene."""
        logic, margin = application.runningLogic(), self.ui.margin.text.strip()
        output = self.ui.output.currentPath.strip()
        logic.export(self.current(), what, output, margin=margin, done=self.exported, **self.remarks())
        self.start()

    def exported(self, folder, outputs, notes):
        """Say what was written."""
        self.say("\n".join([_("Written to {folder}: ").format(folder=folder) + ", ".join(outputs), *notes]))

    def onUncertainty(self, visible):
        """Show or hide the uncertainty over the volume."""
        if self.case is not None and self.case.uncertainty is not None:
            foreground = self.case.uncertainty if visible else None
            slicer.util.setSliceViewerLayers(foreground=foreground, foregroundOpacity=0.5 if visible else 0.0)

    def current(self):
        """Return the case on display. Raise RuntimeError if there is none."""
        if self.case is None:
            raise RuntimeError(_("No result is chosen; choose a volume and press Segment."))
        return self.case

    def remarks(self):
        """Return the functions that take errors and progress."""
        return {"failed": self.failed, "progress": self.say}

    def start(self):
        """Show that something is being done, until all replies have come."""
        self.update(busy=True)
        application.watch(lambda: self.update(busy=False))

    def failed(self, sentence):
        """Show an error."""
        self.say(sentence)
        slicer.util.errorDisplay(sentence)

    def say(self, text):
        """Show what is being done, or what came out."""
        self.ui.status.text = text

    def update(self, *, busy):
        """Bring buttons and result up to date."""
        case = self.case
        self.ui.segment.enabled = not busy
        self.ui.cancel.enabled = busy
        self.ui.progress.visible = busy
        for name in ("suggest", "undo", "assess", "editor", "exportFiles"):
            getattr(self.ui, name).enabled = case is not None and not busy
        for name in ("exportSeg", "exportRtstruct", "margin"):
            getattr(self.ui, name).enabled = case is not None and case.isDicom and not busy
        self.ui.warnings.plainText = "" if case is None else "\n".join(case.warnings)
        hints = "" if case is None or not case.hints else _(", {count} hints").format(count=len(case.hints))
        self.ui.result.text = "" if case is None else f"{case.volumeMl:.1f} mL{hints}"
