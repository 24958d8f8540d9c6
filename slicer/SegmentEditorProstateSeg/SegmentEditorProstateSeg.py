"""Hidden 3D Slicer module that adds the effect prostate-seg to the Segment Editor."""

import os

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule


class SegmentEditorProstateSeg(ScriptedLoadableModule):
    """Registers the effect when Slicer has started."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = "SegmentEditorProstateSeg"
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["Segmentations", "ProstateSeg"]
        parent.contributors = ["prostate-seg developers"]
        parent.hidden = True
        parent.helpText = _("Adds the effect prostate-seg to the Segment Editor.")
        parent.acknowledgementText = _("Uses prostate-seg (Apache-2.0).")
        slicer.app.connect("startupCompleted()", self.registerEditorEffect)

    def registerEditorEffect(self):
        """Add the effect to the Segment Editor."""
        import qSlicerSegmentationsEditorEffectsPythonQt as effects

        effect = effects.qSlicerSegmentEditorScriptedEffect(None)
        library = os.path.join(os.path.dirname(__file__), "SegmentEditorProstateSegLib")
        effect.setPythonSource(os.path.join(library, "SegmentEditorProstateSegEffect.py").replace("\\", "/"))
        effect.self().register()
