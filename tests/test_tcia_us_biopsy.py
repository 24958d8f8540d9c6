"""Prostate-MRI-US-Biopsy: surfaces become the masks that they were made of, and a wrong frame is refused."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
from public_sets import TCIA_SPACING, UID, tcia_image, tcia_surface, triangles_around, write_stl

from prostate_seg import GeometryError, InputError, Volume, read
from prostate_seg.cli import main
from prostate_seg.geometry.voxelise import check_closed, enclosed_volume, voxels_inside
from prostate_seg.reading.masks import read_mask
from prostate_seg.reading.stl_file import read_stl
from prostate_seg.training.datalist import load
from prostate_seg.training.public_sets.surface_frame import check_fit, check_together, in_voxels
from prostate_seg.writing.dicom.ultrasound import ScannerConventions, write_us

STL_HEAD = 84


def prepared(folder, data, *more):
    status = main(["prepare", "--from", "tcia-us-biopsy", str(folder), "-o", str(data), *more])
    rows = json.loads((data / "left_over.json").read_text())["left_over"]
    return status, {row["name"]: row["reason"] for row in rows}


def mr_series(folder, series, patient=1):
    """Three files of an MR series, from the attributes of an ultrasound file."""
    dataset = pydicom.dcmread(next(folder.rglob("1-01.dcm")))
    dataset.SOPClassUID, dataset.Modality = pydicom.uid.MRImageStorage, "MR"
    dataset.SeriesInstanceUID, dataset.NumberOfFrames = series, 1
    place = folder / f"Prostate-MRI-US-Biopsy/Prostate-MRI-US-Biopsy-{patient:04}/study/t2"
    place.mkdir(parents=True)
    for number in range(3):
        dataset.save_as(place / f"1-{number:02}.dcm")


@pytest.fixture(scope="module")
def biopsies(tmp_path_factory):
    """Two patients; one MR series with its surface, a target, an untagged copy, and a surface of no image."""
    folder = tmp_path_factory.mktemp("tcia")
    made = []
    for patient, number in ((1, 31), (2, 33)):
        phantom, file, series = tcia_image(folder, number, patient=patient, private=patient == 2)
        mask = phantom.truth.labels > 0
        mask[: mask.shape[0] // 2, :, : mask.shape[2] // 2] = False  # nothing is symmetric
        spacing = (1.1,) * 3 if patient == 2 else TCIA_SPACING
        surface = tcia_surface(folder, mask, series, patient=patient, spacing=spacing)
        made.append(SimpleNamespace(phantom=phantom, file=file, series=series, mask=mask, surface=surface))
    mr_series(folder, UID.format(900))
    tcia_surface(folder, made[0].mask, UID.format(900))
    tcia_surface(folder, made[0].mask, UID.format(901))
    tcia_surface(folder, made[0].mask, made[0].series, name="Target1")
    shutil.copyfile(made[0].surface, folder / "STLs/STLs/Prostate.STL")
    return folder, made


def test_masks_are_those_of_the_surfaces_voxel_for_voxel_on_voxels_of_three_different_lengths(biopsies, tmp_path):
    folder, made = biopsies
    status, left = prepared(folder, tmp_path / "data")
    assert status == 0
    cases = load(tmp_path / "data/datalist.json")["training"]
    assert [case["patient"] for case in cases] == ["Prostate-MRI-US-Biopsy-0001", "Prostate-MRI-US-Biopsy-0002"]
    for case, one, spacing in zip(cases, made, (TCIA_SPACING, (1.1,) * 3), strict=True):
        volume, mask = read(case["image"]), read_mask(case["label"])
        assert np.array_equal(mask.mask(), one.mask)
        assert volume.spacing_mm == pytest.approx(spacing, rel=1e-4)
        seen = volume.array > 0
        assert np.array_equal(volume.array[seen], one.phantom.image.array[seen])
        assert case["provenance"]["orientation"] == "assumed"
        assert case["provenance"]["licence"] == "CC BY 4.0"
    assert left == {
        "t2": "a series of MR, expected ultrasound (US)",
        f"Prostate-MRI-US-Biopsy-0001-ProstateSurface-seriesUID-{UID.format(900)}.STL":
            "it lies in a series of MR, not of ultrasound",
        f"Prostate-MRI-US-Biopsy-0001-ProstateSurface-seriesUID-{UID.format(901)}.STL":
            "no image here has its series UID",
        f"Prostate-MRI-US-Biopsy-0001-Target1-seriesUID-{made[0].series}.STL":
            "it is Target1, expected ProstateSurface",
        "Prostate.STL": "its name has no patient, structure and seriesUID",
    }  # fmt: skip
    assert b"PHANTOM" not in b"".join(path.read_bytes() for path in (tmp_path / "data/records").iterdir())


@pytest.mark.slow
def test_a_dot_at_the_end_of_the_uid_does_not_count_and_a_second_equal_surface_is_the_same(biopsies, tmp_path):
    folder, made = tmp_path / "set", biopsies[1]
    shutil.copytree(biopsies[0] / "Prostate-MRI-US-Biopsy/Prostate-MRI-US-Biopsy-0002", folder / "any/name")
    for end in (".STL", "..STL"):
        shutil.copyfile(made[1].surface, folder / f"{made[1].surface.stem}{end}")
    status, left = prepared(folder, tmp_path / "data", "--axes", "SLA")
    assert (status, left) == (0, {})
    (case,) = load(tmp_path / "data/datalist.json")["training"]
    assert case["patient"] == "Prostate-MRI-US-Biopsy-0002"
    assert np.allclose(read_mask(case["label"]).affine[:3, :3], 1.1 * np.array([[0, -1, 0], [0, 0, 1], [1, 0, 0]]))
    write_stl(folder / f"{made[1].surface.stem}..STL", read_stl(made[1].surface) + 1)
    assert prepared(folder, tmp_path / "data")[0] == 2
    assert load(tmp_path / "data/datalist.json")["training"] == []


def test_images_that_are_not_one_volume_with_one_surface_are_told_and_others_are_taken(biopsies, tmp_path):
    folder, made = tmp_path / "set", biopsies[1]
    shutil.copytree(biopsies[0], folder)
    mask = made[0].mask
    names = ("two", "none", "wrong", "cut", "open", "far", "tiny", "thick", "damaged", "zeros", "doubled")
    images = {name: tcia_image(folder, 40 + n, patient=n)[2] for n, name in enumerate(names, 10)}
    surfaces = {
        name: tcia_surface(folder, mask, series, patient=10 + n)
        for n, (name, series) in enumerate(images.items())
        if name != "none"
    }
    other = surfaces["two"].with_name(surfaces["two"].name.replace(".STL", "..STL"))
    triangles = read_stl(surfaces["two"])
    write_stl(other, triangles + 1)
    surfaces["wrong"].rename(surfaces["wrong"].with_name(surfaces["wrong"].name.replace("-0012-", "-0099-")))
    surfaces["cut"].write_bytes(surfaces["cut"].read_bytes()[:-50])
    write_stl(surfaces["open"], triangles[1:])
    write_stl(surfaces["far"], triangles + 40)
    write_stl(surfaces["tiny"], triangles / 10)
    write_stl(surfaces["zeros"], 0 * triangles)
    write_stl(surfaces["doubled"], np.concatenate([triangles, triangles]))
    files = {file.parent.name: file for file in folder.rglob("1-01.dcm")}
    dataset = pydicom.dcmread(files["us57"])
    del dataset.SliceThickness
    dataset.save_as(files["us57"])
    files["us58"].write_bytes(files["us58"].read_bytes()[:-5000])
    status, left = prepared(folder, tmp_path / "data")
    assert status == 1
    assert len(load(tmp_path / "data/datalist.json")["training"]) == 2
    told = {name[-13:-9]: reason for name, reason in left.items() if name.endswith("/1-01.dcm")}
    assert told["0010"] == "it has 2 different surfaces of the prostate, expected one"
    assert told["0011"] == "it has no surface of the prostate"
    assert told["0012"] == "it lies in the folder of patient 0012, but its surface is of 0099"
    assert "bytes, expected" in told["0013"]
    assert told["0014"].startswith("the surface is not closed, or is there twice: 3 of its")
    assert "of the corners of" in told["0015"]
    assert "mL, expected 10 to 300 mL" in told["0016"]
    assert "(0018,0050) Slice Thickness is missing" in told["0017"]
    assert "0018" in told
    assert "encloses 0.0 mL" in told["0019"]
    assert f"{len(triangles) * 3 // 2} of its {len(triangles) * 3 // 2} edges" in told["0020"]


def bright_rim():
    """An ellipsoid off the centre, 16, 14 and 13 mm, whose rim is brighter than its inside and outside."""
    shape = (50, 52, 54)
    at = np.indices(shape, float) - np.array([20.0, 30.0, 22.0])[:, None, None, None]
    radius = np.sqrt((at[0] / 16) ** 2 + (at[1] / 14) ** 2 + (at[2] / 13) ** 2)
    image = np.where(np.abs(radius - 1) < 0.12, 200, 60).astype(np.uint8)
    return Volume(image, np.diag([-1.0, -1.0, 1.0, 1.0])), radius < 1


def in_mm(mask):
    """In the frame of the surfaces; the voxels are 1 mm."""
    i, j, k = np.moveaxis(triangles_around(mask), -1, 0)
    return np.stack([j - 26, 53 - k - 27, 49 - i - 25], axis=-1)


@pytest.mark.parametrize(
    ("flip", "named"),
    [((1, 1, -1), "z"), ((-1, 1, 1), "x"), ((-1, -1, 1), "x and y"), ((-1, -1, -1), "x, y and z")],
)
def test_a_surface_with_mirrored_axes_is_refused_and_the_flip_that_fits_is_named(flip, named):
    volume, mask = bright_rim()
    triangles = in_mm(mask)
    check_fit(triangles, volume, "gland.STL")
    assert np.array_equal(voxels_inside(in_voxels(triangles, volume), mask.shape), mask)
    with pytest.raises(GeometryError, match=f"with {named} mirrored, but by"):
        check_fit(triangles * np.array(flip), volume, "gland.STL")


def test_axes_are_refused_if_one_flip_is_better_in_every_case_and_not_if_in_half_of_them():
    """Flip 1 mirrors z: 0.05 better in each of 8 cases, with a spread of 0.01."""
    steady = [np.array([0.1, 0.15 + 0.01 * (-1) ** n, 0, 0, 0, 0, 0, 0]) for n in range(8)]
    with pytest.raises(
        GeometryError, match=r"In 8 cases the rim of the gland is brighter with z mirrored, by 0\.05"
    ):
        check_together(steady)
    check_together(steady[:4])
    check_together([np.array([0.1, 0.1 + 0.05 * (-1) ** n, 0, 0, 0, 0, 0, 0]) for n in range(8)])


@pytest.mark.parametrize(("sign", "status"), [(1, 0), (-1, 2)])
def test_a_whole_set_with_mirrored_axes_is_refused_before_anything_is_written(tmp_path, capsys, sign, status):
    """8 copies of one case, as documented and with x the other way."""
    volume, mask = bright_rim()
    kinds = ScannerConventions(pixel_spacing=True, region=False, frame_increment="none")
    dataset = pydicom.dcmread(write_us(volume, tmp_path, conventions=kinds)[0])
    dataset.SliceThickness = 1.0
    for number in range(8):
        dataset.SeriesInstanceUID = UID.format(50 + number)
        place = tmp_path / f"set/Prostate-MRI-US-Biopsy-{number:04}"
        place.mkdir(parents=True)
        dataset.save_as(place / "1-01.dcm")
        stl = f"{place.name}-ProstateSurface-seriesUID-{dataset.SeriesInstanceUID}.STL"
        write_stl(place / stl, in_mm(mask) * [sign, 1, 1])
    given = ["prepare", "--from", "tcia-us-biopsy", str(tmp_path / "set"), "-o", str(tmp_path / "data")]
    assert main([*given, "--dry-run"]) == status
    told = "In 8 cases the rim of the gland is brighter with x mirrored"
    assert (told in capsys.readouterr().err) == (status == 2)
    assert not (tmp_path / "data").exists()


def test_collapsed_triangles_as_at_a_pole_leave_a_surface_closed():
    triangles = triangles_around(bright_rim()[1])
    collapsed = triangles[:5, [0, 0, 1]]
    check_closed(np.concatenate([triangles, collapsed]))
    with pytest.raises(GeometryError, match="3 of its"):
        check_closed(np.concatenate([triangles, collapsed, triangles[:1] + 0.25]))


def test_voxels_in_an_ellipsoid_are_those_whose_centres_are():
    """1198 faces or more: every centre by the formula, save those within half a percent of the surface."""
    from skimage.measure import marching_cubes

    i, j, k = np.ogrid[:40, :44, :36]
    radius = np.sqrt(((i - 19.3) / 12) ** 2 + ((j - 21.7) / 14) ** 2 + ((k - 17.1) / 10) ** 2)
    corners, faces, _, _ = marching_cubes(radius, 1.0)
    found = voxels_inside(corners[faces], (40, 44, 36))
    assert len(faces) > 1198
    assert np.array_equal(found, radius < 1) or np.abs(radius - 1)[found != (radius < 1)].max() < 0.005
    assert enclosed_volume(corners[faces]) == pytest.approx(4 / 3 * np.pi * 12 * 14 * 10, rel=0.01)


def test_an_octahedron_whose_corners_and_edges_lie_on_voxel_centres_has_no_holes_and_no_streaks():
    """|i - 10| / 3 + |j - 9| / 4 + |k - 8| / 5 below 1 is inside, above 1 outside."""
    centre, half = np.array([10.0, 9.0, 8.0]), np.array([3, 4, 5])
    ends = centre + np.concatenate([np.diag(half), -np.diag(half)])
    faces = [[ends[a], ends[b], ends[c]] for a in (0, 3) for b in (1, 4) for c in (2, 5)]
    found = voxels_inside(np.array(faces), (20, 20, 20))
    at = (np.abs(np.indices((20, 20, 20)) - centre[:, None, None, None]) / half[:, None, None, None]).sum(axis=0)
    assert found[at < 1 - 1e-9].all()
    assert not found[at > 1 + 1e-9].any()
    part = voxels_inside(np.array(faces) - [9.0, 0, 6.0], (3, 20, 4))  # most of it lies outside this grid
    assert np.array_equal(part, found[9:12, :, 6:10])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"solid gland\nfacet normal 0 0 1\n".ljust(300), "is an STL file of text, expected a binary one"),
        (b"", "has 0 bytes, expected 84 by its 0 triangles"),
        (bytes(STL_HEAD), "has 0 triangles, expected 1 to 1000000"),
        (bytes(80) + b"\1\0\0\0" + b"\xff" * 50, "corners that are NaN or infinite"),
    ],
)
def test_a_damaged_stl_file_is_refused(tmp_path, content, sentence):
    (tmp_path / "gland.STL").write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        read_stl(tmp_path / "gland.STL")
