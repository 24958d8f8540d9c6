import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from prostate_seg.errors import OutputError
from prostate_seg.geometry.volume import Segmentation, affine_from_lps, swap_ras_lps
from prostate_seg.phantom import make_phantom
from prostate_seg.writing import write
from prostate_seg.writing.surface import surface_of


def ball(radius_mm, spacing, direction=((1, 0, 0), (0, 1, 0), (0, 0, 1))):
    """A ball around (10, -20, 30) LPS mm."""
    direction, spacing = np.array(direction, float), np.array(spacing, float)
    size = (2 * radius_mm / spacing).astype(int) + 5
    index = np.stack(np.meshgrid(*[np.arange(n) for n in size], indexing="ij"), -1)
    offset = (index - (size - 1) / 2) * spacing
    centre = np.array([10.0, -20.0, 30.0]) - direction @ (spacing * (size - 1) / 2)
    labels = ((offset**2).sum(-1) <= radius_mm**2).astype(np.uint8)
    return Segmentation(labels, affine_from_lps(direction, spacing, centre))


def is_closed(surface):
    """Every directed edge has its opposite exactly once."""
    t = surface.triangles
    edges = np.concatenate([t[:, [0, 1]], t[:, [1, 2]], t[:, [2, 0]]])
    forward = {tuple(edge) for edge in edges.tolist()}
    return len(forward) == len(edges) and all((b, a) in forward for a, b in forward)


def test_the_surface_of_a_ball_of_radius_15_mm_has_its_14_1_ml_and_no_point_further_than_half_a_mm_from_it():
    mask = ball(15.0, (1.0, 1.0, 1.0))
    surface = surface_of(mask)
    assert surface.volume_ml == pytest.approx(4 / 3 * np.pi * 15**3 / 1000, rel=0.01)
    distance = np.linalg.norm(surface.points - [10, -20, 30], axis=1)
    assert np.abs(distance - 15).max() < 0.5


@settings(max_examples=12, deadline=None)
@given(st.sampled_from([(0.1, 0.12, 0.5), (0.4, 0.4, 5.0), (1.5, 1.2, 2.0)]), st.integers(0, 100), st.booleans())
def test_volume_within_1_percent_and_centroid_within_a_tenth_mm_on_any_grid_turned_or_mirrored(spacing, seed, flip):
    direction = Rotation.random(random_state=seed).as_matrix() @ np.diag([1, 1, -1 if flip else 1])
    mask = ball(9.0, spacing, direction)
    surface = surface_of(mask)
    assert surface.volume_ml == pytest.approx(mask.volume_ml, rel=0.01)
    np.testing.assert_allclose(surface.centroid_lps_mm, [10, -20, 30], atol=0.1)
    assert is_closed(surface)


@pytest.mark.parametrize("seed", [2, 5, 22])
def test_a_gland_keeps_volume_within_1_percent_and_centroid_within_a_fifth_of_a_mm(seed):
    truth = make_phantom(seed).truth
    surface = surface_of(truth)
    lps = swap_ras_lps(truth.affine)
    centroid = lps[:3, :3] @ np.argwhere(truth.labels == 1).mean(axis=0) + lps[:3, 3]
    assert surface.volume_ml == pytest.approx(truth.volume_ml, rel=0.01)
    np.testing.assert_allclose(surface.centroid_lps_mm, centroid, atol=0.2)
    assert is_closed(surface)


def test_a_mask_that_fills_its_image_still_has_a_closed_surface_of_its_volume():
    full = Segmentation(np.ones((20, 16, 4), np.uint8), np.diag([1.0, 1.0, 5.0, 1.0]))
    surface = surface_of(full)
    assert is_closed(surface)
    assert surface.volume_ml == pytest.approx(20 * 16 * 20 / 1000, rel=0.01)


def test_one_voxel_of_1_mm_has_a_surface_around_a_thousandth_ml():
    labels = np.zeros((3, 3, 3), np.uint8)
    labels[1, 1, 1] = 1
    assert surface_of(Segmentation(labels, np.eye(4))).volume_ml == pytest.approx(0.001, rel=0.01)


def test_an_empty_mask_has_no_surface(tmp_path):
    with pytest.raises(OutputError, match="The mask is empty, so it has no surface"):
        write(Segmentation(np.zeros((4, 4, 4), np.uint8), np.eye(4)), tmp_path / "ctv.stl")
    assert list(tmp_path.iterdir()) == []


def test_an_stl_file_has_80_bytes_of_header_and_50_for_each_triangle_with_its_outward_normal(tmp_path):
    mask = ball(6.0, (1, 1, 1))
    write(mask, tmp_path / "ctv.stl")
    content = (tmp_path / "ctv.stl").read_bytes()
    count = int(np.frombuffer(content[80:84], "<u4")[0])
    assert len(content) == 84 + 50 * count
    assert b"SPACE=LPS" in content[:80]
    facet = np.frombuffer(content[84:], [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("a", "<u2")])
    outward = facet["corners"].mean(axis=1) - np.array([10, -20, 30])
    assert ((outward * facet["normal"]).sum(axis=1) > 0).all()


def test_a_vtk_file_says_lps_and_holds_the_points_big_endian(tmp_path):
    mask = ball(6.0, (1, 1, 1))
    write(mask, tmp_path / "ctv.vtk")
    content = (tmp_path / "ctv.vtk").read_bytes()
    surface = surface_of(mask)
    assert b"SPACE=LPS" in content[:200]
    start = content.index(b" float\n") + len(b" float\n")
    first = np.frombuffer(content[start : start + 12], ">f4")
    np.testing.assert_allclose(first, surface.points[0], atol=1e-4)
