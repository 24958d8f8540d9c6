"""Ultrasound DICOM that lacks slices, contradicts itself or holds no numbers is refused by the attribute's name."""

import numpy as np
import pydicom
import pytest

from prostate_seg.errors import GeometryError, InputError
from prostate_seg.geometry.volume import Volume, affine_from_lps
from prostate_seg.reading.cases import find_cases, read, read_case
from prostate_seg.writing.dicom.ultrasound import ScannerConventions, write_us

NO_SPACING = ScannerConventions(frame_increment="none")


def sweep(slices=5):
    array = np.random.default_rng(1).integers(20, 255, (24, 20, slices)).astype(np.uint8)
    return Volume(array, affine_from_lps(np.eye(3), np.array([0.3, 0.4, 2.0]), np.zeros(3)))


@pytest.fixture
def multiframe(tmp_path):
    """Writes a sweep of 5 frames as US Multi-frame after an edit of its data set, and returns its path."""

    def write(edit=lambda dataset: None, conventions=ScannerConventions(), slices=5):  # noqa: B008
        dataset = pydicom.dcmread(write_us(sweep(slices), tmp_path / "written", conventions=conventions)[0])
        edit(dataset)
        dataset.save_as(tmp_path / "scan.dcm")
        return tmp_path / "scan.dcm"

    return write


@pytest.fixture
def series(tmp_path):
    """Writes a sweep of 5 slices, without positions, after an edit of each data set, and returns its folder."""

    def write(edit=lambda dataset, k: None, kind="series-without-positions"):
        for k, path in enumerate(write_us(sweep(), tmp_path / "series", kind=kind)):
            dataset = pydicom.dcmread(path)
            edit(dataset, k)
            dataset.save_as(path)
        return tmp_path / "series"

    return write


class TestMissingSlices:
    def test_g1_slice_3_of_5_missing_in_a_series_without_positions_is_a_jump_from_2_to_4(self, series):
        folder = series()
        (folder / "us_0003.dcm").unlink()
        with pytest.raises(
            GeometryError, match=r"\(0020,0013\) Instance Number jumps from 2 to 4, expected steps of 1"
        ):
            read(folder, frame_spacing_mm=2.0)

    def test_g1_every_second_slice_missing_is_a_jump_from_1_to_3(self, series):
        folder = series()
        for number in (2, 4):
            (folder / f"us_000{number}.dcm").unlink()
        with pytest.raises(GeometryError, match="jumps from 1 to 3"):
            read(folder, frame_spacing_mm=2.0)

    def test_g1_slice_locations_2_mm_apart_explain_instance_numbers_1_3_5(self, series):
        def number(dataset, k):
            dataset.InstanceNumber, dataset.SliceLocation = 2 * k + 1, 2.0 * k

        assert read(series(number)).array.shape == (24, 20, 5)

    def test_g1_5_images_of_7_in_the_acquisition_are_refused(self, series):
        with pytest.raises(GeometryError, match=r"5 images, expected 7 by \(0020,1002\) Images in Acquisition"):
            read(series(lambda dataset, k: setattr(dataset, "ImagesInAcquisition", 7)), frame_spacing_mm=2.0)

    def test_g1_3_temporal_positions_are_no_slices(self, series):
        with pytest.raises(GeometryError, match=r"\(0020,0105\) Number of Temporal Positions is 3"):
            read(series(lambda dataset, k: setattr(dataset, "NumberOfTemporalPositions", 3)), frame_spacing_mm=2.0)

    def test_g1_two_images_at_one_slice_location_are_refused_although_their_numbers_differ(self, series):
        folder = series(lambda dataset, k: setattr(dataset, "SliceLocation", 2.0 * min(k, 3)))
        with pytest.raises(GeometryError, match=r"slice 5 does not lie beyond slice 4 by \(0020,1041\)"):
            read(folder, frame_spacing_mm=2.0)

    def test_g1_a_slice_location_in_4_of_5_images_is_refused(self, series):
        def locate(dataset, k):
            if k:
                dataset.SliceLocation = 2.0 * k

        with pytest.raises(GeometryError, match=r"\(0020,1041\) Slice Location is missing in 1 of 5 images"):
            read(series(locate), frame_spacing_mm=2.0)

    def test_g1_one_slice_location_for_all_images_tells_nothing(self, series):
        volume = read(series(lambda dataset, k: setattr(dataset, "SliceLocation", 0)), frame_spacing_mm=2.0)
        np.testing.assert_array_equal(volume.array, sweep().array)

    @pytest.mark.parametrize("damage", [b"", b"\0" * 400, b"\0" * 128 + b"DICM" + b"\0" * 400])
    @pytest.mark.parametrize("kind", ["series", "series-without-positions"])
    def test_g1_a_last_slice_that_cannot_be_read_refuses_its_series_by_the_files_name(self, series, kind, damage):
        folder = series(kind=kind)
        (folder / "us_0005.dcm").write_bytes(damage)
        (folder / "notes.txt").write_text("no slice")
        cases, _ = find_cases([folder])
        assert [case.missing for case in cases] == [("us_0005.dcm",)]
        with pytest.raises(InputError, match=r"series: us_0005\.dcm among its 4 files cannot be read"):
            read_case(cases[0], frame_spacing_mm=2.0)

    def test_g1_a_damaged_file_of_another_name_or_folder_hinders_no_series(self, series):
        folder = series()
        (folder / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
        (folder / "us_0005").mkdir()
        (folder / "us_0005" / "us_0006.dcm").write_bytes(b"")
        assert read(folder, frame_spacing_mm=2.0).array.shape == (24, 20, 5)


class TestNumbers:
    def test_g3_a_slice_location_of_nan_is_refused_and_reorders_nothing(self, series):
        folder = series(lambda dataset, k: setattr(dataset, "SliceLocation", "nan" if k == 1 else 2.0 * k))
        with pytest.raises(GeometryError, match=r"\(0020,1041\) Slice Location holds nan, expected finite numbers"):
            read(folder)

    @pytest.mark.parametrize("value", ["nan", "inf"])
    def test_g3_one_position_or_direction_that_is_not_finite_is_refused(self, series, value):
        def replace(dataset, k):
            if k == 2:
                dataset.ImagePositionPatient = [0, value, 4]

        with pytest.raises(GeometryError, match=rf"\(0020,0032\) Image Position \(Patient\) holds {value}"):
            read(series(replace, kind="series"))

        def turn(dataset, k):
            dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, value]

        with pytest.raises(GeometryError, match=rf"\(0020,0037\) Image Orientation \(Patient\) holds {value}"):
            read(series(turn, kind="series"))

    @pytest.mark.parametrize(
        ("keyword", "value", "text"),
        [
            ("PixelSpacing", ["nan", 0.3], r"\(0028,0030\) Pixel Spacing holds nan"),
            ("PixelSpacing", [0.4, 0.0], r"\(0028,0030\) Pixel Spacing is 0 mm, expected a positive"),
            ("PixelSpacing", [0.4], r"\(0028,0030\) Pixel Spacing has 1 values, expected 2"),
            ("SpacingBetweenSlices", "nan", r"\(0018,0088\) Spacing Between Slices holds nan"),
            ("SliceLocationVector", [0, 2, 4, "inf", 8], r"\(0018,2005\) Slice Location Vector holds inf"),
            ("SliceLocationVector", [0, 2, 4], r"\(0018,2005\) Slice Location Vector has 3 values, expected 5"),
        ],
    )
    def test_g3_numbers_of_a_multiframe_are_finite_or_refused_by_name(self, multiframe, keyword, value, text):
        with pytest.raises(GeometryError, match=text):
            read(multiframe(lambda dataset: setattr(dataset, keyword, value)))

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_g3_a_region_of_nan_cm_is_refused_and_pixel_spacing_does_not_stand_in(self, multiframe, value):
        def spoil(dataset):
            dataset.SequenceOfUltrasoundRegions[0].PhysicalDeltaY = value
            dataset.PixelSpacing = [0.4, 0.3]

        with pytest.raises(GeometryError, match=rf"\(0018,602E\) Physical Delta Y holds {value}"):
            read(multiframe(spoil))

    def test_g3_a_slice_thickness_of_nan_is_refused_and_0_is_the_placeholder_of_1_mm(self, multiframe):
        path = multiframe(lambda dataset: setattr(dataset, "SliceThickness", "nan"), NO_SPACING, slices=1)
        with pytest.raises(GeometryError, match=r"\(0018,0050\) Slice Thickness holds nan"):
            read(path)
        path = multiframe(lambda dataset: setattr(dataset, "SliceThickness", 0), NO_SPACING, slices=1)
        assert read(path).spacing_mm == pytest.approx((0.3, 0.4, 1.0))

    @pytest.mark.parametrize("value", ["-2", "0"])
    def test_g10_spacing_between_slices_of_0_or_less_is_refused_beside_a_vector_of_2_mm(self, multiframe, value):
        with pytest.raises(
            GeometryError, match=rf"Spacing Between Slices is {value} mm, expected a positive length"
        ):
            read(multiframe(lambda dataset: setattr(dataset, "SpacingBetweenSlices", value)))

    def test_house_12_a_foreign_private_1129_1016_is_no_spacing(self, multiframe):
        def private(creator):
            def edit(dataset):
                dataset.add_new(0x11290010, "LO", creator)
                dataset.add_new(0x11291016, "UN", b"0.55")

            return edit

        conventions = ScannerConventions(region=False, frame_increment="none")
        with pytest.raises(GeometryError, match="no in-plane calibration"):
            read(multiframe(private("ANOTHER MAKER"), conventions))
        assert read(multiframe(private("Eigen Artemis"), conventions)).spacing_mm == pytest.approx(
            (0.55, 0.55, 0.55)
        )

    def test_house_12_a_private_spacing_of_nan_is_refused_by_its_tag(self, multiframe):
        def private(dataset):
            dataset.add_new(0x11290010, "LO", "Eigen, Inc")
            dataset.add_new(0x11291016, "UN", b"nan ")

        with pytest.raises(GeometryError, match=r"\(1129,1016\) private isotropic spacing holds nan"):
            read(multiframe(private, ScannerConventions(region=False, frame_increment="none")))

    def test_house_13_spacing_between_slices_of_2_and_3_mm_in_one_series_is_refused(self, series):
        folder = series(lambda dataset, k: setattr(dataset, "SpacingBetweenSlices", 3 if k == 4 else 2))
        with pytest.raises(
            GeometryError, match=r"\(0018,0088\).* is 2 mm in one image of the series and 3 mm in an"
        ):
            read(folder)

    def test_house_21_empty_positions_count_as_absent(self, series):
        def empty(dataset, k):
            dataset.ImagePositionPatient, dataset.ImageOrientationPatient = None, None

        volume = read(series(empty), frame_spacing_mm=2.0)
        assert volume.orientation == "assumed"
        np.testing.assert_array_equal(volume.array, sweep().array)
