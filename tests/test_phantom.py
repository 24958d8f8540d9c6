"""Phantoms: analytic truth, physics that can be checked by hand, the same bytes for the same seed."""

import hashlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from prostate_seg.errors import SettingsError
from prostate_seg.geometry.volume import lps_from_affine, same_grid
from prostate_seg.phantom import draw_settings, make_phantom
from prostate_seg.phantom.anatomy import draw_anatomy, gland, gland_volume_ml
from prostate_seg.phantom.beams import Beams, speckle
from prostate_seg.phantom.scanner import beams_of, converter, draw_scan, fan_mask, pixel_positions

SMALL = {"shape": (80, 64, 20), "spacing_mm": (1.2, 1.2, 3.0)}


def ellipsoid(width, height, length):
    """An anatomy whose gland is an ellipsoid, far from the probe that would dent it."""
    return replace(
        draw_anatomy(np.random.default_rng(0)),
        width_mm=width,
        height_mm=height,
        length_mm=length,
        centre_mm=(0.0, -60.0),
        posterior_share=0.5,
        powers=(2.0, 2.0),
        apex_power=2.0,
        base_power=2.0,
        roundness=1.0,
        bumps=(0.0, 0.0, 0.0, 0.0),
        **dict.fromkeys(["droop", "dent", "keystone", "asymmetry", "widest_at", "tilt", "pitch", "lean"], 0.0),
    )


def test_an_ellipsoid_of_60_by_40_by_50_mm_has_pi_over_6_times_120_ml():
    assert gland_volume_ml(ellipsoid(60, 40, 50)) == pytest.approx(np.pi / 6 * 120, rel=0.01)


def test_an_ellipsoid_ends_29_9_mm_and_not_30_1_mm_beside_its_centre():
    anatomy = ellipsoid(60, 40, 50)
    inside = gland(anatomy, np.array([29.9, 30.1, 0, 0]), np.array([-60, -60, -79.9, -80.1]), np.zeros(4)) < 1
    assert inside.tolist() == [True, False, True, False]


def test_a_droop_shears_and_so_keeps_the_volume():
    bent = replace(ellipsoid(60, 40, 50), droop=0.4)
    assert gland_volume_ml(bent) == pytest.approx(np.pi / 6 * 120, rel=0.01)


@pytest.mark.parametrize("volume_ml", [14, 40, 130])
def test_the_mask_has_the_volume_asked_for_within_3_percent(volume_ml):
    drawn = draw_settings(5, kind="isotropic", spacing_mm=(1.2, 1.2, 1.2), volume_ml=volume_ml)
    scan = replace(drawn.scan, shape=(90, 90, 75), first_z_mm=-44.4, shift_mm=0.0, probe_gap_mm=10.0)
    phantom = make_phantom(5, settings=replace(drawn, scan=scan))
    assert phantom.truth.volume_ml == pytest.approx(volume_ml, rel=0.03)


def test_volumes_over_300_seeds_stay_in_14_to_130_ml_with_a_median_of_30_to_48():
    volumes = [gland_volume_ml(draw_anatomy(np.random.default_rng(seed))) for seed in range(300)]
    assert min(volumes) > 13.7
    assert max(volumes) < 132
    assert 30 < np.median(volumes) < 48


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000))
def test_the_truth_is_one_component_that_the_zones_part_and_the_urethra_runs_through(seed):
    phantom = make_phantom(seed, **SMALL)
    parts = phantom.structures
    ctv = parts["ctv"]
    assert np.array_equal(ctv, phantom.truth.labels == 1)
    assert ndimage.label(ctv, np.ones((3, 3, 3)))[1] == 1
    assert np.array_equal(parts["peripheral_zone"] ^ parts["transition_zone"], ctv)
    assert not (parts["peripheral_zone"] & parts["transition_zone"]).any()
    assert not (parts["urethra"] & ~ctv).any()
    for name in ("bladder", "seminal_vesicles", "rectal_wall"):
        assert not (parts[name] & ctv).any()
    assert same_grid(phantom.image, phantom.truth)


def test_the_urethra_is_in_every_slice_of_the_middle_half_of_the_gland():
    for seed in range(10):
        parts = make_phantom(seed, shape=(90, 70, 30), spacing_mm=(1.0, 1.0, 2.0)).structures
        slices = np.flatnonzero(parts["ctv"].any((0, 1)))
        middle = slices[len(slices) // 4 : -max(1, len(slices) // 4)]
        assert parts["urethra"][..., middle].any((0, 1)).all()


def test_speckle_has_a_mean_1_91_times_its_deviation_and_mean_square_1():
    beams = Beams(np.arange(10, 60, 0.3), np.arange(-1, 1, 0.02), np.arange(0, 40, 5.0))
    waves = list(speckle(np.random.default_rng(1), beams, axial_mm=0.25, lateral_mm=0.6, elevation_mm=1.0))
    power = np.stack(waves)
    envelope = np.sqrt(power)
    assert envelope.mean() / envelope.std() == pytest.approx(1.91, abs=0.1)
    assert power.mean() == pytest.approx(1, abs=0.05)


def test_a_side_fire_volume_of_1_mm_steps_correlates_more_between_slices_than_one_of_5_mm():
    def correlation(step_mm):
        beams = Beams(np.arange(10, 50, 0.3), np.arange(-1, 1, 0.02), np.arange(2) * step_mm)
        first, second = speckle(np.random.default_rng(2), beams, axial_mm=0.25, lateral_mm=0.6, elevation_mm=1.0)
        return np.corrcoef(first.ravel(), second.ravel())[0, 1]

    assert correlation(1.0) > 0.4
    assert abs(correlation(5.0)) < 0.1


def test_the_same_seed_gives_the_same_bytes_in_another_process_and_another_seed_others():
    code = (
        "import hashlib; from prostate_seg.phantom import make_phantom; p = make_phantom(7, "
        "shape=(80, 64, 20), spacing_mm=(1.2, 1.2, 3.0)); "
        "print(hashlib.sha256(p.image.array.tobytes() + p.truth.labels.tobytes()).hexdigest())"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    here, other = make_phantom(7, **SMALL), make_phantom(8, **SMALL)
    digest = hashlib.sha256(here.image.array.tobytes() + here.truth.labels.tobytes()).hexdigest()
    assert there.strip() == digest
    assert not np.array_equal(here.image.array, other.image.array)
    assert not np.array_equal(here.truth.labels, other.truth.labels)


def test_settings_pin_the_patient_while_the_scanner_changes():
    drawn = draw_settings(3, **SMALL)
    darker = replace(drawn, scan=replace(drawn.scan, level=0.05, text=False))
    brighter = replace(drawn, scan=replace(drawn.scan, level=0.9, text=False))
    dark, bright = (make_phantom(3, settings=pinned) for pinned in (darker, brighter))
    assert dark.image.array.mean() < 0.3 * bright.image.array.mean()
    assert np.array_equal(dark.truth.labels, bright.truth.labels)


def test_what_is_outside_the_fan_is_black_apart_from_text():
    for seed in range(6):
        drawn = draw_settings(seed, **SMALL)
        scan = replace(drawn.scan, text=False, soft_edge=False)
        phantom = make_phantom(seed, settings=replace(drawn, scan=scan))
        outside = ~fan_mask(scan, beams_of(scan, drawn.anatomy.probe_radius_mm))
        assert outside.any()
        assert phantom.image.array[outside].max() == 0


def test_40_seeds_bring_very_dark_and_saturated_pictures():
    saturated, means = [], []
    for seed in range(40):
        phantom = make_phantom(seed, shape=(60, 48, 10), spacing_mm=(1.6, 1.6, 5.0))
        scan = phantom.settings.scan
        fan = fan_mask(scan, beams_of(scan, phantom.settings.anatomy.probe_radius_mm))
        means.append(phantom.image.array[fan].mean())
        saturated.append((phantom.image.array[fan] == 255).mean())
    assert min(means) < 35
    assert max(means) > 150
    assert max(saturated) > 0.03


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(-0.4, 0.4))
def test_a_pixel_shows_the_anatomy_at_its_own_place_within_0_05_mm_however_the_fan_is_rolled(seed, roll):
    drawn = draw_settings(seed, **SMALL)
    scan = replace(drawn.scan, roll=roll)
    beams = beams_of(scan, drawn.anatomy.probe_radius_mm)
    at, fan = converter(scan, beams)
    inner = (at[1] < len(beams.angle) - 1) & (at[0] < len(beams.radius_mm) - 1)
    for of_beams, of_pixels in zip(beams.positions(), pixel_positions(scan), strict=True):
        shown = ndimage.map_coordinates(of_beams, at, order=1)
        wanted = np.broadcast_to(of_pixels, fan.shape)[fan]
        assert np.abs(shown - wanted)[inner].max() < 0.05


def test_a_rolled_fan_shows_a_dark_gland_where_the_truth_is_within_1_mm():
    drawn = draw_settings(4, kind="isotropic", spacing_mm=(1.0, 1.0, 1.0), volume_ml=40)
    quiet = {name: 0.0 for name in ("side_loss_db", "attenuation_db_per_mm", "time_gain_db", "edge_shadow_db")}
    tissue = replace(
        drawn.tissue, **quiet, gland_db=-40.0, transition_db=0.0, peripheral_db=0.0, speckle_share=0.2, nodules=0,
        calcifications=0, needles=0, cysts=0, contact_losses=0, noise_db=-60.0, urethra_kind="collapsed",
    )  # fmt: skip
    scan = replace(drawn.scan, roll=0.35, half_angle=1.4, text=False, blur_mm=0.0, cut=None, sector=(0.0, 1.0))
    phantom = make_phantom(4, settings=replace(drawn, tissue=tissue, scan=scan))
    middle = phantom.truth.labels.shape[2] // 2
    truth, image = phantom.truth.labels[..., middle] == 1, phantom.image.array[..., middle]
    fan = fan_mask(scan, beams_of(scan, drawn.anatomy.probe_radius_mm))
    near = ndimage.binary_dilation(truth, iterations=8) & fan
    dark = near & (image < 0.5 * np.median(image[near & ~truth]))
    apart = np.subtract(ndimage.center_of_mass(dark), ndimage.center_of_mass(truth & fan))
    assert np.hypot(*apart) < 1.0


@pytest.mark.parametrize("kind", ["side-fire", "isotropic"])
def test_the_axes_point_left_posterior_and_superior_within_15_degrees(kind):
    phantom = make_phantom(11, kind=kind)
    direction, spacing, _ = lps_from_affine(phantom.image.affine)
    assert phantom.image.orientation == "file"
    assert (np.diag(direction) > np.cos(np.radians(15))).all()
    assert (spacing[2] == pytest.approx(spacing[0])) == (kind == "isotropic")
    assert phantom.image.array.dtype == np.uint8


def test_default_sizes_are_at_most_240_by_200_by_80():
    for seed in range(50):
        shape = draw_settings(seed).scan.shape
        assert all(5 <= n <= most for n, most in zip(shape, (240, 200, 80), strict=True))


def test_most_volumes_reach_beyond_apex_and_base_and_the_gland_lies_in_the_fan():
    whole = 0
    for seed in range(40):
        anatomy = draw_anatomy(np.random.default_rng(seed))
        scan = draw_scan(np.random.default_rng(seed + 100), anatomy)
        last = scan.first_z_mm + (scan.shape[2] - 1) * scan.spacing_mm[2]
        whole += scan.first_z_mm < -anatomy.length_mm / 2 and last > anatomy.length_mm / 2
    assert whole >= 28


def test_a_single_slice_of_thick_pixels_is_a_phantom_too():
    phantom = make_phantom(0, shape=(24, 20, 1), spacing_mm=(4.0, 4.0, 5.0))
    assert phantom.image.array.shape == (24, 20, 1)
    assert phantom.truth.labels.any()


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"kind": "end-fire"}, "kind is 'random', 'side-fire' or 'isotropic', got 'end-fire'"),
        ({"volume_ml": 400.0}, "14 to 130 mL, got volume_ml=400"),
        ({"spacing_mm": (1.0, 0.0, 1.0)}, "shape and spacing are positive"),
        ({"shape": (10, 0, 3)}, "shape and spacing are positive"),
    ],
)
def test_wrong_settings_are_refused_by_name(wrong, text):
    with pytest.raises(SettingsError, match=text):
        make_phantom(1, **wrong)
