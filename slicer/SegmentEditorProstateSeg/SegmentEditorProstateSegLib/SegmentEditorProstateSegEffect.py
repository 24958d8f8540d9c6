"""Segment Editor effect: clicks and planes correct the prostate of prostate-seg, and each is answered at once."""

import os

import qt
import slicer
import vtk
from ProstateSegLib import application
from ProstateSegLib.nodes import arrayOf
from SegmentEditorEffects import AbstractScriptedSegmentEditorEffect
from slicer.i18n import tr as _

SIDE = "Side"
SIDES = ("boundary", "inside", "outside")


class SegmentEditorProstateSegEffect(AbstractScriptedSegmentEditorEffect):
    """Points inside, outside and on the boundary by click; apex and base at the slice on display; undo."""

    def __init__(self, scriptedEffect):
        scriptedEffect.name = "prostate-seg"  # not translated: modules find effects by name
        scriptedEffect.title = _("prostate-seg")
        scriptedEffect.perSegment = True
        scriptedEffect.requireSegments = True
        AbstractScriptedSegmentEditorEffect.__init__(self, scriptedEffect)

    def clone(self):
        """Return a copy for another editor."""
        import qSlicerSegmentationsEditorEffectsPythonQt as effects

        cloned = effects.qSlicerSegmentEditorScriptedEffect(None)
        cloned.setPythonSource(__file__.replace("\\", "/"))
        return cloned

    def icon(self):
        """Return the icon of the effect."""
        return qt.QIcon(os.path.join(os.path.dirname(__file__), "SegmentEditorProstateSegEffect.png"))

    def helpText(self):
        """Return the text under the effect's options."""
        return _(
            "Click on the boundary of the prostate, inside or outside of it; or scroll to the first or last slice "
            "of the gland and press Apex here or Base here. The segment is computed anew after each hint, so paint "
            "by hand only when the hints are done. Segment the volume in the module Prostate segmentation first."
        )

    def setupOptionsFrame(self):
        """Build the options: the side of the next point, apex, base and undo."""
        self.sides = qt.QComboBox()
        self.sides.addItems([_("on the boundary"), _("inside"), _("outside")])
        self.sides.connect("currentIndexChanged(int)", self.updateMRMLFromGUI)
        self.scriptedEffect.addLabeledOptionsWidget(_("Click is"), self.sides)
        for text, action in (
            (_("Apex here"), lambda: self.addPlane("apex")),
            (_("Base here"), lambda: self.addPlane("base")),
            (_("Undo hint"), self.undo),
        ):
            button = qt.QPushButton(text)
            button.connect("clicked()", action)
            self.scriptedEffect.addOptionsWidget(button)
        self.status = qt.QLabel()
        self.status.wordWrap = True
        self.scriptedEffect.addOptionsWidget(self.status)

    def createCursor(self, widget):
        """Return the cursor over the slice views."""
        return qt.QCursor(qt.Qt.CrossCursor)

    def setMRMLDefaults(self):
        """Set the default side of a click."""
        self.scriptedEffect.setParameterDefault(SIDE, SIDES[0])

    def updateGUIFromMRML(self):
        """Show the side of a click."""
        blocked = self.sides.blockSignals(True)
        self.sides.currentIndex = SIDES.index(self.side())
        self.sides.blockSignals(blocked)

    def updateMRMLFromGUI(self, _index=0):
        """Keep the side of a click."""
        self.scriptedEffect.setParameter(SIDE, SIDES[self.sides.currentIndex])

    def side(self):
        """Return the side of the next click."""
        kept = self.scriptedEffect.parameter(SIDE)
        return kept if kept in SIDES else SIDES[0]

    def processInteractionEvents(self, callerInteractor, eventId, viewWidget):
        """Take a click into a slice view as a hint. Return whether the event was used."""
        if viewWidget.className() != "qMRMLSliceWidget" or eventId != vtk.vtkCommand.LeftButtonPressEvent:
            return False
        if callerInteractor.GetShiftKey() or callerInteractor.GetControlKey() or callerInteractor.GetAltKey():
            return False
        ras = self.xyToRas(callerInteractor.GetEventPosition(), viewWidget)
        self.ask(lambda logic, case, replies: logic.addHint(case, logic.point(self.side(), ras), **replies))
        return True

    def addPlane(self, end):
        """Take the slice in the red view as the last one of the gland."""
        view = arrayOf(slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode().GetSliceToRAS())
        self.ask(lambda logic, case, replies: logic.addHint(case, logic.plane(case, end, view), **replies))

    def undo(self):
        """Remove the last hint."""
        self.ask(lambda logic, case, replies: logic.undo(case, **replies))

    def ask(self, question):
        """Ask the worker, and show what comes or why not. The former segment can be had back by Slicer's undo."""
        try:
            logic = application.runningLogic()
            case = logic.caseOf(segmentation=self.scriptedEffect.parameterSetNode().GetSegmentationNode())
            if self.scriptedEffect.parameterSetNode().GetSelectedSegmentID() != case.segmentId:
                raise RuntimeError(_("Another segment is selected; select the CTV."))
            question(logic, case, {"done": self.answered, "failed": self.say, "progress": self.say})
            self.scriptedEffect.saveStateForUndo()  # no answer comes before the timer asks for it
            application.watch()
        except RuntimeError as error:
            self.say(str(error))

    def answered(self, case):
        """Show volume and number of hints."""
        self.say(_("{volume:.1f} mL, {count} hints").format(volume=case.volumeMl, count=len(case.hints)))

    def say(self, text):
        """Show what came out."""
        self.status.text = text
