"""Time of all metrics of one case beside MONAI's and SimpleITK's on the same masks, on one core.

    python benchmarks/metrics_speed.py [--shape 256 256 100] [-o metrics_speed.md]

Ours: every field of prostate_seg.evaluation.metrics.Metrics, with directions in the patient. MONAI: Dice, Hausdorff
distance, HD95, average surface distance and surface Dice. SimpleITK: overlap measures, Hausdorff and average
distance, and the surface distances of its documentation. The times are the best of three runs.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import SimpleITK as sitk  # noqa: N813
import torch
from monai.metrics import (
    DiceMetric,
    HausdorffDistanceMetric,
    SurfaceDiceMetric,
    SurfaceDistanceMetric,
)

from prostate_seg.evaluation.metrics import evaluate_masks
from prostate_seg.geometry.volume import affine_from_lps

SPACING = (0.4, 0.4, 1.0)


def ellipsoid(shape, centre, radii):
    grid = np.ogrid[tuple(slice(n) for n in shape)]
    return sum(((g - c) / r) ** 2 for g, c, r in zip(grid, centre, radii, strict=True)) <= 1


def pairs(shape):
    middle, size = np.array(shape) / 2, np.array(shape) / 100
    gland = ellipsoid(shape, middle, size * (30, 24, 32))
    near = ellipsoid(shape, middle + size * (1, -2, 1), size * (29, 26, 30))
    far = ellipsoid(shape, middle + size * (20, 10, 5), size * (20, 15, 20))
    noise = np.random.default_rng(0).random((2, *shape)) < 0.3
    return {"gland, good contour": (near, gland), "gland, bad contour": (far, gland), "noise": tuple(noise)}


def ours(prediction, reference):
    affine = affine_from_lps(np.eye(3), np.array(SPACING), np.zeros(3))
    return evaluate_masks(prediction, reference, affine=affine)


def of_monai(prediction, reference):
    a, b = (torch.as_tensor(mask)[None, None].float() for mask in (prediction, reference))
    DiceMetric()(a, b)
    HausdorffDistanceMetric()(a, b, spacing=SPACING)
    HausdorffDistanceMetric(percentile=95)(a, b, spacing=SPACING)
    SurfaceDistanceMetric(symmetric=True)(a, b, spacing=SPACING)
    SurfaceDiceMetric(class_thresholds=[1.0], include_background=True)(a, b, spacing=SPACING)


def of_simpleitk(prediction, reference):
    images = []
    for mask in (prediction, reference):
        image = sitk.GetImageFromArray(mask.astype(np.uint8).transpose(2, 1, 0))
        image.SetSpacing(SPACING)
        images.append(image)
    sitk.LabelOverlapMeasuresImageFilter().Execute(*images)
    sitk.HausdorffDistanceImageFilter().Execute(*images)
    surfaces = [sitk.GetArrayViewFromImage(sitk.LabelContour(image)) > 0 for image in images]
    maps = [
        sitk.Abs(sitk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True))
        for image in images
    ]
    return [np.percentile(sitk.GetArrayViewFromImage(m)[s], 95) for m, s in zip(maps[::-1], surfaces, strict=True)]


def best_of(function, masks, times=3):
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        function(*masks)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", type=int, nargs=3, default=(256, 256, 100))
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    lines = ["| masks | ours, s | MONAI, s | SimpleITK, s |", "|---|---|---|---|"]
    for name, masks in pairs(tuple(options.shape)).items():
        row = [best_of(function, masks) for function in (ours, of_monai, of_simpleitk)]
        lines.append("| {} | {:.2f} | {:.2f} | {:.2f} |".format(name, *row))
        print(lines[-1], flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of the process, all three and their imports: {peak:.0f} MB")
    if options.output:
        options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
