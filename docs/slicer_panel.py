"""Draws the panel of the extension for 3D Slicer: ``python docs/slicer_panel.py docs/slicer_panel.png``.

Needs PySide6 (``pip install PySide6-Essentials``). Qt lays out the ``.ui`` file as Slicer does. Plain widgets of Qt
take the place of Slicer's own: framed sections of collapsible ones, lists of choosers of nodes, lines of paths.
"""

import os
import sys
from pathlib import Path

from PySide6.QtCore import Property
from PySide6.QtUiTools import QUiLoader
from PySide6.QtWidgets import QApplication, QComboBox, QGroupBox, QLineEdit, QWidget

PANEL = Path(__file__).resolve().parents[1] / "slicer" / "ProstateSeg" / "Resources" / "UI" / "ProstateSeg.ui"
WIDTH, HEIGHT = 380, 770


class Section(QGroupBox):
    """A section with the property ``text`` of ctkCollapsibleButton."""

    text = Property(str, QGroupBox.title, QGroupBox.setTitle)


def main(path):
    """Write the picture of the panel."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    application = QApplication([])
    loader = QUiLoader()
    plain = {"ctkCollapsibleButton": Section, "qMRMLWidget": QWidget}
    plain |= {"ctkPathLineEdit": QLineEdit, "qMRMLNodeComboBox": QComboBox}
    for name, kind in plain.items():
        loader.registerCustomWidget(type(name, (kind,), {}))
    panel = loader.load(str(PANEL))
    panel.resize(WIDTH, HEIGHT)
    panel.show()
    application.processEvents()
    panel.grab().save(path)


if __name__ == "__main__":
    main(sys.argv[1])
