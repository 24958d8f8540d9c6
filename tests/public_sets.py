"""Public data sets in their published layouts, made from phantoms: small, asymmetric, and known voxel for voxel."""

import struct
from functools import lru_cache

import nibabel
import numpy as np
import pydicom
from skimage.measure import marching_cubes

from prostate_seg.phantom import make_phantom
from prostate_seg.writing.dicom.ultrasound import ScannerConventions, write_us

UID = "1.2.826.0.1.{}"
TCIA_SHAPE, TCIA_SPACING = (60, 48, 40), (1.0, 1.1, 1.2)  # columns, rows, frames
MICRO = (1372, 962)


def write_stl(path, triangles):
    """Write (T, 3, 3) mm as stlwrite.m does: 80 bytes of header, a count, 50 bytes a triangle."""
    path.parent.mkdir(parents=True, exist_ok=True)
    body = b"".join(struct.pack("<12fH", 0, 0, 0, *corners.ravel(), 0) for corners in triangles)
    path.write_bytes(b"Created by stlwrite.m 01-Jan-2020".ljust(80) + struct.pack("<I", len(triangles)) + body)


def triangles_around(mask):
    """Half a voxel around a mask, in voxel indices: exactly its voxels are inside."""
    corners, faces, _, _ = marching_cubes(np.pad(mask, 1).astype(float), 0.5)
    return (corners - 1)[faces]


def in_mm_of_volume(triangles, shape, spacing):
    """Columns, rows and frames as x, y, z in mm around the centre: rows, frames backwards, columns backwards."""
    columns, rows, frames = np.moveaxis(triangles, -1, 0)
    x = spacing[1] * (rows - shape[1] / 2)
    y = spacing[2] * ((shape[2] - 1 - frames) - shape[2] / 2)
    z = spacing[0] * ((shape[0] - 1 - columns) - shape[0] / 2)
    return np.stack([x, y, z], axis=-1)


@lru_cache
def phantom_of(number, shape, spacing, volume_ml):
    return make_phantom(number, shape=shape, spacing_mm=spacing, volume_ml=volume_ml)


def tcia_image(folder, number, *, patient=1, private=False):
    """Write one multi-frame file without orientation; return the phantom, its file and its series UID."""
    phantom, series = phantom_of(number, TCIA_SHAPE, TCIA_SPACING, 25), UID.format(number)
    place = folder / f"Prostate-MRI-US-Biopsy/Prostate-MRI-US-Biopsy-{patient:04}/study/us{number}"
    place.mkdir(parents=True)
    kinds = ScannerConventions(pixel_spacing=True, region=False, frame_increment="none")
    (made,) = write_us(phantom.image, place, seed=number, conventions=kinds)
    dataset = pydicom.dcmread(made)
    dataset.SeriesInstanceUID, dataset.SliceThickness = series, TCIA_SPACING[2]
    dataset.pop("SpacingBetweenSlices", None)
    if private:
        del dataset.PixelSpacing, dataset.SliceThickness
        dataset.private_block(0x1129, "Eigen, Inc", create=True).add_new(0x16, "DS", "1.1")
    made.unlink()
    dataset.save_as(place / "1-01.dcm")
    return phantom, place / "1-01.dcm", series


def tcia_surface(folder, mask, series, *, patient=1, name="ProstateSurface", spacing=TCIA_SPACING):
    """Write the surface of a mask in the frame of its volume."""
    triangles = in_mm_of_volume(triangles_around(mask), TCIA_SHAPE, spacing)
    path = folder / f"STLs/STLs/Prostate-MRI-US-Biopsy-{patient:04}-{name}-seriesUID-{series}.STL"
    write_stl(path, triangles)
    return path


def nifti(path, array, spacing, affine=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(array, np.diag([*spacing, 1.0]) if affine is None else affine)
    nibabel.save(image, path)
    return path


def regpro_case(folder, subset, name, number, *, spacing=0.8, order=(0, 1, 2, 3, 4, 5)):
    """Write an image and six masks, of which one is empty and the first the largest; return image and gland."""
    phantom = phantom_of(number, (61, 70, 55), (0.8,) * 3, 14)
    gland = phantom.truth.labels > 0
    masks = np.zeros((*gland.shape, 6), np.float32)
    masks[..., 0], masks[20:24, 30:33, 20:22, 1], masks[28:31, 30:37, 30:32, 3] = gland, 1, 1
    nifti(folder / subset / "us_images" / f"{name}.nii.gz", phantom.image.array, (spacing,) * 3)
    nifti(folder / subset / "us_labels" / f"{name}.nii.gz", masks[..., list(order)], (spacing,) * 3)
    return phantom.image.array, gland


def deepreg_case(folder, name, number, *, spacing=0.4, layers=3):
    """Write an image (44, 59, 41) whose axes run to posterior, left and superior, with a header of 0.4 mm."""
    phantom = phantom_of(number, (59, 44, 41), (1.6,) * 3, 30)
    image, gland = (part.transpose(1, 0, 2) for part in (phantom.image.array, phantom.truth.labels > 0))
    masks = np.stack([gland, *[np.roll(gland, 3, axis=0) & gland] * (layers - 1)], axis=-1).astype(float)
    nifti(folder / "train/fixed_images" / f"{name}.nii.gz", image, (spacing,) * 3)
    nifti(
        folder / "train/fixed_labels" / f"{name}.nii.gz", masks if layers else gland.astype(float), (spacing,) * 3
    )
    return phantom


def micro_scan(folder, subset, number, *, slices=3):
    """Write a scan stored upside down: speckle above a black strip, and a mask that spills into the strip."""
    rng = np.random.default_rng(number)
    image = rng.integers(1, 255, (*MICRO, slices), np.uint8)
    image[:, :100] = 0  # stored first, shown last
    image[700, 500] = 0  # a black pixel within the ultrasound
    mask = np.zeros((*MICRO, slices), np.uint8)
    mask[600:900, 90:600, 1:] = 1
    mask[600:650, 500:600, 1:] = 0  # no symmetry
    whole = f"{subset}_{number:02}.nii.gz"
    nifti(folder / subset / "micro_ultrasound_scans" / f"microUS_{whole}", image, (1.0, 1.0, 1.0))
    nifti(folder / subset / "expert_annotations" / f"expert_annotation_{whole}", mask, (1.0, 1.0, 1.0))
    nifti(folder / subset / "non_expert_annotations" / f"non_expert_annotation_{whole}", 1 - mask, (1.0, 1.0, 1.0))
    return image, mask
