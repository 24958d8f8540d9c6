"""Doubles of Slicer's Qt, which slicer-core lacks. They refuse properties and signals that Slicer does not have.

The .ui file, the MRML classes and ``slicer.util`` are the real ones.
"""

import functools
import sys
import types
from xml.etree import ElementTree as Tree

import slicer
import slicer.util
import slicer_scene
import vtk

ANY_WIDGET = {"enabled": True, "visible": True, "toolTip": ""}
# Properties with their defaults, and signals, as in the headers of Qt, CTK and Slicer.
PROPERTIES = {
    "qMRMLWidget": {},
    "qMRMLNodeComboBox": {},
    "ctkCollapsibleButton": {"collapsed": False},
    "ctkPathLineEdit": {"currentPath": ""},
    "QLabel": {"text": "", "wordWrap": False},
    "QLineEdit": {"text": ""},
    "QPlainTextEdit": {"plainText": ""},
    "QDoubleSpinBox": {"value": 0.0},
    "QComboBox": {"currentIndex": 0},
    "QPushButton": {"text": ""},
    "QCheckBox": {"checked": False, "text": ""},
    "QProgressBar": {"value": 0},
    "QVBoxLayout": {},
    "QTimer": {"interval": 0, "singleShot": False},
}
SIGNALS = {
    "qMRMLWidget": ["mrmlSceneChanged(vtkMRMLScene*)"],
    "qMRMLNodeComboBox": ["currentNodeChanged(vtkMRMLNode*)", "currentNodeChanged(bool)"],
    "ctkPathLineEdit": ["currentPathChanged(QString)", "validInputChanged(bool)"],
    "QComboBox": ["currentIndexChanged(int)"],
    "QPushButton": ["clicked(bool)", "clicked()", "toggled(bool)"],
    "QCheckBox": ["clicked(bool)", "clicked()", "toggled(bool)"],
    "QTimer": ["timeout()"],
}
APPLICATION_SIGNALS = ["startupCompleted()", "aboutToQuit()"]


class Signals:
    """Keeps functions that are connected to the signals of an object, and calls them."""

    def __init__(self, names):
        self.functions = {name: [] for name in names}

    def connect(self, signal, function):
        self.functions[signal].append(function)

    def emit(self, signal, *values):
        for function in self.functions[signal]:
            function(*values)


class Widget:
    """A widget of a class of Qt, CTK or Slicer. Names that this class does not have raise AttributeError."""

    def __init__(self, kind, *arguments):
        values = ANY_WIDGET | PROPERTIES[kind]
        if arguments and isinstance(arguments[0], str):
            values |= {"text": arguments[0]}
        signals = Signals(SIGNALS.get(kind, []))
        self.__dict__.update(kind=kind, values=values, signals=signals, node=None, children=[], running=False)

    def __getattr__(self, name):
        if name not in self.values:
            raise AttributeError(f"{self.kind} has no {name}")
        return self.values[name]

    def __setattr__(self, name, value):
        getattr(self, name)
        self.values[name] = value

    def connect(self, signal, function):
        self.signals.connect(signal, function)

    def emit(self, signal, *values):
        self.signals.emit(signal, *values)

    def click(self):
        """Click it, if it is enabled."""
        if self.enabled:
            self.emit("clicked(bool)", False)
            self.emit("clicked()")


def methods(kind):
    """Return the class of the widgets of a kind, with the methods that the extension calls."""

    def choose(self, node):
        if node is not self.node:
            self.__dict__["node"] = node
            self.emit("currentNodeChanged(vtkMRMLNode*)", node)

    def run(self, on):
        self.__dict__["running"] = on

    every = {
        "qMRMLNodeComboBox": {"currentNode": lambda self: self.node, "setCurrentNode": choose},
        "QComboBox": {
            "addItems": lambda self, items: self.children.extend(items),
            "blockSignals": lambda self, blocked: not blocked,
        },
        "QVBoxLayout": {"addWidget": lambda self, widget: self.children.append(widget)},
        "qMRMLWidget": {"setMRMLScene": lambda self, scene: self.emit("mrmlSceneChanged(vtkMRMLScene*)", scene)},
        "QTimer": {
            "setInterval": lambda self, milliseconds: setattr(self, "interval", milliseconds),
            "start": lambda self: run(self, True),
            "stop": lambda self: run(self, False),
        },
    }
    return functools.partial(type(kind, (Widget,), every.get(kind, {})), kind)


class Settings:
    """Settings of one test; ``kept`` holds their values."""

    def value(self, name):
        return self.kept.get(name)

    def setValue(self, name, value):
        self.kept[name] = value


class Base:
    """Base class of modules, panels and effects, as ScriptedLoadableModule.py has them."""

    def __init__(self, parent=None):
        self.parent = self.scriptedEffect = parent
        self.layout = methods("QVBoxLayout")()

    def setup(self):
        pass


class Editor:
    """The Segment Editor's widget: what it shows, and how many states it has saved for undo."""

    def __init__(self):
        self.node, self.saved = None, 0

    def segmentationNode(self):
        return self.node

    def saveStateForUndo(self):
        self.saved += 1


class SampleDataSource:
    """A source of sample data. As Slicer's own, it takes one address or several, and counts what they need."""

    def __init__(self, uris=None, fileNames=None, nodeNames=None, **others):
        if isinstance(uris, str):
            uris, fileNames, nodeNames = [uris], [fileNames], [nodeNames]
        assert len(uris) == len(fileNames) == len(nodeNames)
        for file, node in zip(fileNames, nodeNames, strict=True):
            assert node is not None or file.lower()
        assert set(others) <= {"category", "sampleName", "customDownloader", "thumbnailFileName"}
        self.nodeNames, self.others = nodeNames, others


class Slicer:
    """A running Slicer: its scene with three slice views, and what the user is shown and asked."""

    def __init__(self, keep):
        self.keep, self.shown, self.asked, self.agrees = keep, [], [], True
        self.signals, self.editor, self.samples = Signals(APPLICATION_SIGNALS), Editor(), []
        self.views = {}
        for name, orientation in (("Red", "Axial"), ("Yellow", "Sagittal"), ("Green", "Coronal")):
            self.views[name] = slicer_scene.slice_view(keep.scene, name, orientation)
            keep.scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode").SetLayoutName(name)
        self.crosshair = keep.scene.AddNewNodeByClass("vtkMRMLCrosshairNode")

    def ask(self, question):
        self.asked.append(question)
        return self.agrees

    @property
    def app(self):
        layout = types.SimpleNamespace(
            sliceViewNames=lambda: list(self.views),
            sliceWidget=lambda name: types.SimpleNamespace(mrmlSliceNode=lambda: self.views[name]),
            mrmlSliceLogics=vtk.vtkCollection,  # none: nothing is drawn
        )
        return types.SimpleNamespace(layoutManager=lambda: layout, connect=self.signals.connect)

    @property
    def modules(self):
        panel = types.SimpleNamespace(editor=self.editor)
        widget = types.SimpleNamespace(self=lambda: panel)
        return types.SimpleNamespace(
            segmenteditor=types.SimpleNamespace(widgetRepresentation=lambda: widget),
            markups=types.SimpleNamespace(logic=lambda: self.keep.markups),
        )


def named_widgets(path):
    """Return a widget of its class for each named one of a .ui file."""
    found = list(Tree.parse(path).iter("widget"))
    names = [element.get("name") for element in found]
    assert len(set(names)) == len(names)
    return types.SimpleNamespace(**{one.get("name"): methods(one.get("class"))() for one in found})


def install(monkeypatch, folder):
    """Put the doubles in place of what a running Slicer has. Return that Slicer."""
    running = Slicer(slicer_scene.Scene())
    panels = {}

    def loaded(path):
        panel = methods("qMRMLWidget")()
        panels[id(panel)] = path
        return panel

    for name, double in (
        ("loadUI", loaded),
        ("childWidgetVariables", lambda panel: named_widgets(panels[id(panel)])),
        ("errorDisplay", running.shown.append),
        ("confirmOkCancelDisplay", running.ask),
        ("startupEnvironment", lambda: None),
        ("selectModule", lambda _: None),
    ):
        monkeypatch.setattr(slicer.util, name, double)  # fails if slicer.util has no such function
    qt = {name: methods(name) for name in ("QTimer", "QComboBox", "QPushButton", "QLabel")}
    base = types.ModuleType("slicer.ScriptedLoadableModule")
    base.ScriptedLoadableModule = base.ScriptedLoadableModuleWidget = Base
    Base.resourcePath = lambda self, name: str(folder / "ProstateSeg" / "Resources" / name)
    i18n = types.ModuleType("slicer.i18n")
    i18n.tr, i18n.translate = (lambda text: text), (lambda _, text: text)
    effects = types.ModuleType("SegmentEditorEffects")
    effects.AbstractScriptedSegmentEditorEffect = Base
    samples = types.SimpleNamespace(
        SampleDataLogic=types.SimpleNamespace(
            registerCustomSampleDataSource=lambda **source: running.samples.append(SampleDataSource(**source))
        )
    )
    modules = {"qt": types.SimpleNamespace(QSettings=Settings, **qt), "slicer.i18n": i18n, "SampleData": samples}
    modules |= {"SegmentEditorEffects": effects, "slicer.ScriptedLoadableModule": base}
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    for name, value in (("mrmlScene", running.keep.scene), ("app", running.app), ("modules", running.modules)):
        monkeypatch.setattr(slicer, name, value, raising=False)
    monkeypatch.setattr(Settings, "kept", {}, raising=False)
    return running
