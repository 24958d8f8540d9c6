"""Draws slices of a Slicer scene (.mrb) with Slicer's own slice view (slicer-core, no screen), for docs/slicer.md.

python docs/slice_view.py scene.mrb docs/slicer_slices.png
"""

import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import slicer
import vtk
from PIL import Image
from vtk.util.numpy_support import vtk_to_numpy

SIZE = (520, 400)
VIEWS = ("Axial", "Sagittal", "Coronal")


def opened(path, folder):
    """Slicer's application logic with the scene; and the scene."""
    scene, app = slicer.vtkMRMLScene(), slicer.vtkSlicerApplicationLogic()
    app.SetMRMLScene(scene)
    app.GetColorLogic().SetMRMLScene(scene)
    app.GetColorLogic().AddDefaultColorNodes()
    segmentations = slicer.vtkSlicerSegmentationsModuleLogic()
    segmentations.SetMRMLApplicationLogic(app)
    segmentations.SetMRMLScene(scene)
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    scene.SetURL(str(next(Path(folder).rglob("*.mrml"))))
    assert scene.Connect() == 1
    return app, segmentations, scene


def picture(app, scene, orientation):
    """One slice through the middle of the CTV: RGB (rows, columns, 3)."""
    volume, ctv = scene.GetFirstNodeByName("TRUS"), scene.GetFirstNodeByName("CTV")
    window, renderer = vtk.vtkRenderWindow(), vtk.vtkRenderer()
    window.SetOffScreenRendering(1)
    window.SetSize(*SIZE)
    window.AddRenderer(renderer)
    interactor = vtk.vtkRenderWindowInteractor()
    interactor.SetRenderWindow(window)
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLApplicationLogic(app)
    logic.SetMRMLScene(scene)
    node = logic.AddSliceNode(f"View{orientation}")
    logic.GetSliceCompositeNode().SetBackgroundVolumeID(volume.GetID())
    getattr(node, f"SetOrientationTo{orientation}")()
    node.SetDimensions(*SIZE, 1)
    logic.FitSliceToBackground(*SIZE)
    bounds = np.zeros(6)
    ctv.GetRASBounds(bounds)
    node.JumpSliceByCentering(*bounds.reshape(3, 2).mean(axis=1))
    mapper, actor = vtk.vtkImageMapper(), vtk.vtkActor2D()
    mapper.SetInputConnection(logic.GetImageDataConnection())
    mapper.SetColorWindow(255)
    mapper.SetColorLevel(127.5)
    actor.SetMapper(mapper)
    actor.GetProperty().SetDisplayLocationToBackground()
    renderer.AddViewProp(actor)
    group = draw_segmentation(app, renderer, node)
    shown = pixels_of(window)
    del group  # draws while it lives
    return shown


def draw_segmentation(app, renderer, node):
    """Put Slicer's overlay of all segmentations into a slice view."""
    factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
    factory.SetMRMLApplicationLogic(app)
    name = "vtkMRMLSegmentationsDisplayableManager2D"
    if not factory.IsDisplayableManagerRegistered(name):
        factory.RegisterDisplayableManager(name)
    group = factory.InstantiateDisplayableManagers(renderer)
    group.SetMRMLDisplayableNode(node)
    renderer.GetRenderWindow().Render()
    return group


def surface_picture(scene):
    """The surface from the front, a little from above: RGB (rows, columns, 3)."""
    model = scene.GetFirstNodeByName("CTV surface")
    window, renderer = vtk.vtkRenderWindow(), vtk.vtkRenderer()
    window.SetOffScreenRendering(1)
    window.SetSize(*SIZE)
    window.AddRenderer(renderer)
    mapper, actor = vtk.vtkPolyDataMapper(), vtk.vtkActor()
    mapper.SetInputData(model.GetPolyData())
    actor.SetMapper(mapper)
    actor.GetProperty().SetColor(model.GetDisplayNode().GetColor())
    renderer.AddActor(actor)
    camera = renderer.GetActiveCamera()
    camera.SetPosition(0.3, 1, 0.35)  # RAS: anterior
    camera.SetViewUp(0, 0, 1)
    renderer.ResetCamera()
    window.Render()
    return pixels_of(window)


def pixels_of(window):
    """What a window shows."""
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.ReadFrontBufferOff()
    grab.Update()
    pixels = vtk_to_numpy(grab.GetOutput().GetPointData().GetScalars()).reshape(SIZE[1], SIZE[0], -1)
    return pixels[::-1, :, :3]


def main():
    scene_file, output = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        app, _keep, scene = opened(scene_file, folder)
        display = scene.GetFirstNodeByName("CTV").GetDisplayNode()
        display.SetSliceIntersectionThickness(2)
        shown = [*(picture(app, scene, view) for view in VIEWS), surface_picture(scene)]
    sheet = np.vstack([np.hstack(shown[:2]), np.hstack(shown[2:])])
    Image.fromarray(np.ascontiguousarray(sheet)).save(output, optimize=True)


if __name__ == "__main__":
    main()
