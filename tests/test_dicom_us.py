"""Ultrasound DICOM as scanners write it: the right millimetres, or the right refusal."""

import numpy as np
import pydicom
import pytest

from prostate_seg.errors import GeometryError, SettingsError
from prostate_seg.geometry.volume import Volume, affine_from_lps
from prostate_seg.reading.acquisition import Acquisition
from prostate_seg.reading.cases import read
from prostate_seg.writing.dicom.ultrasound import ScannerConventions, write_us

NO_SPACING = ScannerConventions(frame_increment="none")
CINE = ScannerConventions(frame_increment="time")


def sweep(shape=(24, 20, 5), spacing_mm=(0.3, 0.4, 2.0)):
    array = np.random.default_rng(1).integers(20, 255, shape).astype(np.uint8)
    return Volume(array, affine_from_lps(np.eye(3), np.array(spacing_mm), np.zeros(3)))


@pytest.fixture
def multiframe(tmp_path):
    """Writes a sweep as US Multi-frame after an edit of its data set, and returns its path."""

    def write(edit=lambda dataset: None, conventions=ScannerConventions(), volume=None):  # noqa: B008
        path = write_us(volume or sweep(), tmp_path / "written", conventions=conventions)[0]
        dataset = pydicom.dcmread(path)
        edit(dataset)
        dataset.save_as(tmp_path / "scan.dcm")
        return tmp_path / "scan.dcm"

    return write


@pytest.fixture
def series(tmp_path):
    """Writes a sweep as single-frame series after an edit of each data set, and returns its folder."""

    def write(edit=lambda dataset, k: None, kind="series", volume=None):
        for k, path in enumerate(write_us(volume or sweep(), tmp_path / "series", kind=kind)):
            dataset = pydicom.dcmread(path)
            edit(dataset, k)
            dataset.save_as(path)
        return tmp_path / "series"

    return write


class TestInPlaneCalibration:
    def test_a_delta_of_0_03_cm_is_0_3_mm_and_its_sign_is_the_axis_of_the_scanner(self, multiframe):
        def negative(dataset):
            dataset.SequenceOfUltrasoundRegions[0].PhysicalDeltaX *= -1

        assert read(multiframe(negative)).spacing_mm == pytest.approx((0.3, 0.4, 2.0))

    def test_pixel_spacing_counts_rows_first_where_there_is_no_region(self, multiframe):
        path = multiframe(conventions=ScannerConventions(region=False, pixel_spacing=True))
        assert read(path).spacing_mm == pytest.approx((0.3, 0.4, 2.0))

    def test_neither_region_nor_pixel_spacing_is_refused_naming_both(self, multiframe):
        with pytest.raises(GeometryError, match=r"scan: no in-plane.*\(0018,6011\).*\(0028,0030\)"):
            read(multiframe(conventions=ScannerConventions(region=False)))

    def test_pixel_spacing_that_differs_by_3_percent_from_the_region_is_refused(self, multiframe):
        def contradict(dataset):
            dataset.PixelSpacing = [0.4 * 1.03, 0.3]

        with pytest.raises(GeometryError, match=r"gives 0\.3 x 0\.4 mm but .* gives 0\.3 x 0\.412 mm"):
            read(multiframe(contradict))

    def test_the_private_isotropic_spacing_counts_for_all_three_axes_where_nothing_else_is(self, multiframe):
        def private(dataset):
            dataset.add_new(0x11290010, "LO", "Eigen, Inc")
            dataset.add_new(0x11291016, "UN", b"0.55")

        conventions = ScannerConventions(region=False, frame_increment="none")
        assert read(multiframe(private, conventions)).spacing_mm == pytest.approx((0.55, 0.55, 0.55))

    @pytest.mark.parametrize(
        ("keyword", "value"),
        [
            ("RegionSpatialFormat", 2),
            ("RegionDataType", 2),
            ("PhysicalUnitsXDirection", 4),
            ("PhysicalDeltaY", 0.0),
        ],
    )
    def test_m_mode_flow_seconds_and_zero_deltas_do_not_calibrate(self, multiframe, keyword, value):
        with pytest.raises(GeometryError, match="no in-plane calibration"):
            read(multiframe(lambda dataset: setattr(dataset.SequenceOfUltrasoundRegions[0], keyword, value)))

    def test_a_region_beyond_the_image_is_cut_and_warned_of_but_one_pixel_is_not(self, multiframe):
        def beyond(by):
            def edit(dataset):
                dataset.SequenceOfUltrasoundRegions[0].RegionLocationMaxX1 = 23 + by

            return edit

        far, near = read(multiframe(beyond(30))), read(multiframe(beyond(1)))
        assert "reaches column 53" in far.warnings[0]
        assert near.warnings == ()
        assert far.field_of_view.all()
        assert near.field_of_view.all()

    def test_pixels_outside_the_chosen_region_are_black(self, multiframe):
        def left_half(dataset):
            dataset.SequenceOfUltrasoundRegions[0].RegionLocationMaxX1 = 11

        volume = read(multiframe(left_half))
        assert not volume.array[12:].any()
        assert volume.array[:12].all()
        assert volume.field_of_view[:, 0, 0].sum() == 12


class TestFrameGeometry:
    def test_no_distance_between_frames_is_refused_and_the_option_gives_it(self, multiframe):
        path = multiframe(conventions=NO_SPACING)
        with pytest.raises(GeometryError, match=r"\(0018,0088\) Spacing Between Slices is missing.*--frame-"):
            read(path)
        assert read(path, frame_spacing_mm=1.25).spacing_mm[2] == pytest.approx(1.25)

    def test_the_option_may_repeat_the_file_but_not_contradict_it_by_2_percent(self, multiframe):
        path = multiframe()
        assert read(path, frame_spacing_mm=2.01).spacing_mm[2] == pytest.approx(2.0)
        with pytest.raises(GeometryError, match=r"2.04 mm contradicts 2 mm in \(0018,0088\)"):
            read(path, frame_spacing_mm=2.04)

    def test_a_cine_loop_is_a_volume_only_on_the_users_word(self, multiframe):
        path = multiframe(conventions=CINE)
        with pytest.raises(GeometryError, match=r"5 frames increment by time \(\(0028,0009\)"):
            read(path)
        volume = read(path, frame_spacing_mm=0.5)
        assert volume.spacing_mm[2] == pytest.approx(0.5)
        assert "increment by time" in volume.warnings[0]

    @pytest.mark.parametrize("edit", ["pointer", "type"])
    def test_a_raw_rotational_sweep_is_refused_even_with_a_frame_spacing(self, multiframe, edit):
        def rotate(dataset):
            if edit == "pointer":
                dataset.FrameIncrementPointer = 0x00540050
            else:
                dataset.ImageType = ["ORIGINAL", "PRIMARY", "ROTATIONAL"]

        with pytest.raises(GeometryError, match="rotational sweep"):
            read(multiframe(rotate), frame_spacing_mm=1.0)

    def test_a_slice_location_vector_with_a_double_step_is_refused_naming_the_gaps(self, multiframe):
        def gap(dataset):
            del dataset.SpacingBetweenSlices
            dataset.SliceLocationVector = [0, 2, 4, 8, 10]

        with pytest.raises(GeometryError, match=r"\(0018,2005\).* not uniform: 2.000, 4.000 mm"):
            read(multiframe(gap))

    def test_a_missing_slice_in_a_series_is_refused_naming_the_gaps(self, series):
        folder = series()
        (folder / "us_0003.dcm").unlink()
        with pytest.raises(GeometryError, match=r"series: .*\(0020,0032\).* not uniform: 2.000, 4.000 mm"):
            read(folder)

    def test_gaps_that_differ_by_2_percent_are_a_grid_with_the_mean_gap(self, series):
        def jitter(dataset, k):
            dataset.ImagePositionPatient = [0, 0, 2.0 * k + (0.04 if k == 2 else 0)]

        assert read(series(jitter)).spacing_mm[2] == pytest.approx(2.0)

    def test_two_images_at_one_place_are_refused(self, series):
        def repeat(dataset, k):
            dataset.ImagePositionPatient = [0, 0, 2.0 * min(k, 3)]

        with pytest.raises(GeometryError, match="slice 5 does not lie beyond slice 4"):
            read(series(repeat))

    def test_slices_that_turn_about_an_axis_are_refused(self, series):
        def turn(dataset, k):
            angle = np.radians(10 * k)
            dataset.ImageOrientationPatient = [np.cos(angle), 0, np.sin(angle), 0, 1, 0]

        with pytest.raises(GeometryError, match="not parallel"):
            read(series(turn))

    def test_slices_that_shift_sideways_are_refused_with_the_shift(self, series):
        def shear(dataset, k):
            dataset.ImagePositionPatient = [0.5 * k, 0, 2.0 * k]

        with pytest.raises(GeometryError, match=r"sideways by up to 2\.000 mm"):
            read(series(shear))

    def test_a_series_whose_depth_changes_is_refused(self, series):
        def zoom(dataset, k):
            dataset.SequenceOfUltrasoundRegions[0].PhysicalDeltaX *= 1 + 0.1 * (k == 4)
            del dataset.PixelSpacing

        with pytest.raises(GeometryError, match=r"0\.3 and 0\.33 mm in one series"):
            read(series(zoom))

    def test_a_series_of_images_of_two_sizes_is_refused_with_both(self, series, tmp_path):
        series()
        write_us(sweep(shape=(30, 20, 1)), tmp_path / "other", kind="series")
        extra = pydicom.dcmread(tmp_path / "other" / "us_0001.dcm")
        extra.SeriesInstanceUID = pydicom.dcmread(tmp_path / "series" / "us_0001.dcm").SeriesInstanceUID
        extra.save_as(tmp_path / "series" / "us_0009.dcm")
        with pytest.raises(GeometryError, match="24 x 20 and of 30 x 20"):
            read(tmp_path / "series")

    def test_slice_locations_give_order_and_gap_where_there_are_no_positions(self, series):
        def locate(dataset, k):
            dataset.SliceLocation = 50 - 1.5 * k

        volume = read(series(locate, kind="series-without-positions"))
        assert volume.spacing_mm[2] == pytest.approx(1.5)
        np.testing.assert_array_equal(volume.array, sweep().array)

    def test_a_series_without_positions_numbers_or_locations_has_no_order(self, series):
        def forget(dataset, k):
            dataset.InstanceNumber = 1

        folder = series(forget, kind="series-without-positions")
        with pytest.raises(GeometryError, match=r"\(0020,0013\) Instance Number is missing or repeated"):
            read(folder, frame_spacing_mm=1.0)

    def test_one_frame_is_one_slice_with_a_warning(self, multiframe):
        volume = read(multiframe(volume=sweep(shape=(24, 20, 1)), conventions=NO_SPACING))
        assert volume.array.shape == (24, 20, 1)
        assert volume.spacing_mm == pytest.approx((0.3, 0.4, 1.0))
        assert "One slice only" in volume.warnings[0]


class TestOrientation:
    @pytest.mark.parametrize(
        ("order", "side", "diagonal", "who"),
        [
            (None, None, (-1, -1, 1), "assumed"),
            ("apex-to-base", "bottom", (-1, -1, 1), "option"),
            ("base-to-apex", "bottom", (-1, -1, -1), "option"),
            ("apex-to-base", "top", (-1, 1, 1), "option"),
            ("base-to-apex", None, (-1, -1, -1), "assumed"),
        ],
    )
    def test_options_turn_the_affine_in_ras_never_the_array(self, multiframe, *, order, side, diagonal, who):
        volume = read(multiframe(), frame_order=order, probe_side=side)
        np.testing.assert_array_equal(np.sign(np.diag(volume.affine)[:3]), diagonal)
        assert volume.orientation == who
        np.testing.assert_array_equal(volume.array, sweep().array)

    def test_options_that_agree_with_positions_are_fine_and_others_are_refused(self, series):
        folder = series()  # i to the left, j to the posterior, k to the superior
        agreed = read(folder, frame_order="apex-to-base", probe_side="bottom", frame_spacing_mm=2.0)
        assert agreed.orientation == "file"
        with pytest.raises(GeometryError, match=r"'base-to-apex' contradicts \(0020,0032\)"):
            read(folder, frame_order="base-to-apex")
        with pytest.raises(GeometryError, match=r"'top' contradicts .*\(0020,0037\)"):
            read(folder, probe_side="top")
        with pytest.raises(GeometryError, match="3 mm contradicts 2 mm"):
            read(folder, frame_spacing_mm=3.0)

    def test_impossible_options_are_settings_errors(self):
        with pytest.raises(SettingsError, match="frame spacing is -1 mm"):
            Acquisition(frame_spacing_mm=-1)
        with pytest.raises(SettingsError, match="expected 'base-to-apex' or 'apex-to-base'"):
            Acquisition(frame_order="up")
