"""Doubles of Slicer's Qt, which slicer-core lacks: they keep values and signals. The .ui file is the real one."""

import sys
import types
from xml.etree import ElementTree as Tree


class Widget:
    """A widget: any property can be set, ``connect`` keeps functions, ``emit`` calls them."""

    def __init__(self, *arguments):
        self._signals = {}
        self.text = str(arguments[0]) if arguments and isinstance(arguments[0], str) else ""
        self.currentPath, self.node, self.currentIndex, self.value = "", None, 0, 0.0
        self.checked = False

    def connect(self, signal, function):
        self._signals.setdefault(signal, []).append(function)

    def emit(self, signal, *values):
        for function in self._signals[signal]:
            function(*values)

    def click(self):
        for signal, values in (("clicked(bool)", [False]), ("clicked()", [])):
            if signal in self._signals:
                self.emit(signal, *values)

    def currentNode(self):
        return self.node

    def setCurrentNode(self, node):
        self.node = node
        self.emit("currentNodeChanged(vtkMRMLNode*)", node)

    def addItems(self, items):
        self.items = items

    def addWidget(self, widget):
        self.child = widget

    def setMRMLScene(self, scene):
        self.scene = scene

    def blockSignals(self, blocked):
        return not blocked


class Timer(Widget):
    """A timer that a test fires."""

    running = False

    def setInterval(self, _):
        pass

    def start(self):
        self.running = True

    def stop(self):
        self.running = False


class Settings:
    """Settings of one test; ``kept`` holds their values."""

    def value(self, name):
        return self.kept.get(name)

    def setValue(self, name, value):
        self.kept[name] = value


def named_widgets(path):
    """Return a widget for each named one of a .ui file."""
    names = [element.get("name") for element in Tree.parse(path).iter("widget")]
    assert len(set(names)) == len(names)
    return types.SimpleNamespace(**{name: Widget() for name in names})


class Base:
    """Base class of modules, panels and effects."""

    def __init__(self, parent=None):
        self.parent = self.scriptedEffect = parent
        self.layout = Widget()

    def setup(self):
        pass


def install(monkeypatch, scene, folder):
    """Put the doubles in place of what a running Slicer has. Return what the user would be shown."""
    import slicer

    shown, asked = [], []
    qt = types.SimpleNamespace(
        QTimer=Timer, QSettings=Settings, QComboBox=Widget, QPushButton=Widget, QLabel=Widget
    )
    util = types.ModuleType("slicer.util")
    util.loadUI = lambda path: types.SimpleNamespace(path=path, setMRMLScene=lambda _: None)
    util.childWidgetVariables = lambda panel: named_widgets(panel.path)
    util.errorDisplay = shown.append
    util.confirmOkCancelDisplay = asked.append
    util.setSliceViewerLayers = lambda **_: None
    util.startupEnvironment = lambda: None
    base = types.ModuleType("slicer.ScriptedLoadableModule")
    base.ScriptedLoadableModule = base.ScriptedLoadableModuleWidget = Base
    Base.resourcePath = lambda self, name: str(folder / "ProstateSeg" / "Resources" / name)
    i18n = types.ModuleType("slicer.i18n")
    i18n.tr, i18n.translate = (lambda text: text), (lambda _, text: text)
    effects = types.ModuleType("SegmentEditorEffects")
    effects.AbstractScriptedSegmentEditorEffect = Base
    modules = {"qt": qt, "slicer.util": util, "slicer.i18n": i18n, "SegmentEditorEffects": effects}
    for name, module in (modules | {"slicer.ScriptedLoadableModule": base}).items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(slicer, "util", util)
    monkeypatch.setattr(slicer, "mrmlScene", scene, raising=False)
    monkeypatch.setattr(Settings, "kept", {}, raising=False)
    return shown, asked
