"""3D Slicer module that segments the prostate in ultrasound, shows how far to trust the result, and exports it.

prostate-seg runs as a process of its own, in Slicer's Python or in an environment of its own. Corrections are made
in the Segment Editor, with the effect prostate-seg. Research use only.
"""

import functools
import os

import slicer
from ProstateSegLib import application
from ProstateSegLib.checks import isPainted
from ProstateSegLib.nodes import moveCrosshair
from ProstateSegLib.sample import registerSampleData
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleWidget

EFFECT = "prostate-seg"
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
        application.listen(self.update)
        self.update()

    def cleanup(self):
        """Take no more part in what happens; the panel is closed."""
        application.unlisten(self.update)

    def enter(self):
        """Show what has changed while another module was open."""
        self.update()

    @property
    def case(self):
        """The case of the chosen volume, or None."""
        return application.caseOf(self.ui.volume.currentNode())

    def onVolume(self, _volume):
        """Show the result of the chosen volume, if there is one."""
        self.update()
        if self.ui.uncertainty.checked:
            self.onUncertainty(True)

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
        former = logic.formerOf(volume, study)
        if former is not None and not self.mayReplace(former, again=True):
            return
        known = study or (former is not None and former.isFromFiles)
        files = [] if known else application.dicomFiles(volume)
        done = functools.partial(self.segmented, volume)
        logic.segment(volume, study=study, dicomFiles=files, acquisition=stated, done=done, **self.remarks())
        application.watch()

    def mayReplace(self, case, *, again=False):
        """Save the segment for undo. Return whether what is lost nevertheless may be lost.

        ``again`` means that the image is segmented again, which drops its hints.
        """
        kept = application.saveForUndo(case)
        losses = []
        if again and case.hints:
            losses.append(_("the hints ({count})").format(count=len(case.hints)))
        if isPainted(case) and (again or not kept):
            losses.append(_("what was changed by hand in the Segment Editor"))
        question = _("This drops {losses}. Go on?").format(losses=_(" and ").join(losses))
        return not losses or slicer.util.confirmOkCancelDisplay(question)

    def segmented(self, chosen, case):
        """Show a new result, unless another volume was chosen meanwhile."""
        if self.ui.volume.currentNode() is not chosen:
            self.say(_("{name} is segmented; choose it to see the result.").format(name=case.volume.GetName()))
            return
        self.ui.study.currentPath = ""
        self.ui.volume.setCurrentNode(case.volume)
        slicer.util.setSliceViewerLayers(background=case.volume, fit=True, rotateToVolumePlane=True)
        self.onUncertainty(self.ui.uncertainty.checked)
        self.say(_("Segmented."))

    @shown
    def onCancel(self):
        """Stop what is being done."""
        application.runningLogic().cancel()

    @shown
    def onUndo(self):
        """Remove the last hint."""
        case = self.current()
        if not case.hints or self.mayReplace(case):
            application.runningLogic().undo(case, done=self.answered, **self.remarks())
            application.watch()

    @shown
    def onAssess(self):
        """Renew warnings and uncertainty after corrections."""
        application.runningLogic().assess(self.current(), done=self.answered, **self.remarks())
        application.watch()

    def answered(self, case):
        """Show what has changed, if its volume is still chosen."""
        if case is self.case:
            self.onUncertainty(self.ui.uncertainty.checked)
        self.say("")

    @shown
    def onSuggest(self):
        """Show the place that would help most."""
        case = self.current()
        done = functools.partial(self.suggested, case)
        application.runningLogic().suggest(case, done=done, **self.remarks())
        application.watch()

    def suggested(self, case, suggestion):
        """Move slice views and crosshair to a suggestion, if its volume is still chosen."""
        if case is not self.case:
            self.say("")
            return
        if suggestion is None:
            self.say(_("No further hint would change much."))
            return
        slicer.modules.markups.logic().JumpSlicesToLocation(*suggestion["at_mm"], True)
        moveCrosshair(slicer.mrmlScene, suggestion["at_mm"])
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
        application.watch()

    def exported(self, folder, outputs, notes):
        """Say what was written."""
        self.say("\n".join([_("Written to {folder}: ").format(folder=folder) + ", ".join(outputs), *notes]))

    def onUncertainty(self, visible):
        """Show or hide the uncertainty over the volume."""
        case = self.case
        foreground = case.uncertainty if visible and case is not None else None
        slicer.util.setSliceViewerLayers(foreground=foreground, foregroundOpacity=0.5 if foreground else 0.0)

    def current(self):
        """Return the case on display. Raise RuntimeError if there is none."""
        if self.case is None:
            raise RuntimeError(_("No result is chosen; choose a volume and press Segment."))
        return self.case

    def remarks(self):
        """Return the functions that take errors and progress."""
        return {"failed": self.failed, "progress": self.say}

    def failed(self, sentence):
        """Show an error."""
        self.say(sentence)
        slicer.util.errorDisplay(sentence)

    def say(self, text):
        """Show what is being done, or what came out."""
        self.ui.status.text = text

    def update(self):
        """Bring buttons and result up to date."""
        case, busy = self.case, application.busy()
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
