"""Faults of training data, each planted in a copy of a clean set: what the check must find in which cases."""

from dataclasses import replace
from shutil import copyfile

import numpy as np
from training_sets import resampled

from prostate_seg.geometry.volume import reindexed
from prostate_seg.reading.masks import read_segments
from prostate_seg.writing import write

FAULTS = {}


def fault(kind, *cases):
    """Register a function of a copied set that plants one fault."""

    def add(plant):
        FAULTS[plant.__name__.replace("_", " ")] = (plant, kind, cases)
        return plant

    return add


@fault("grid", "c3")
def a_mask_without_the_last_slice(data):
    mask = data.mask("c3")
    data.put("c3", mask=replace(mask, labels=mask.labels[:, :, :-1]))


@fault("grid", "c3")
def a_mask_5_mm_beside_its_image(data):
    mask = data.mask("c3")
    moved = mask.affine.copy()
    moved[0, 3] += 5
    data.put("c3", mask=replace(mask, affine=moved))


@fault("spacing", "c2")
def a_spacing_in_another_unit(data):
    data.both("c2", lambda array, affine: (array, affine @ np.diag([0.01, 0.01, 0.01, 1])))


@fault("spacing", "c2")
def a_spacing_four_times_as_large_as_all_others(data):
    data.both("c2", lambda array, affine: (array, affine @ np.diag([4, 4, 1, 1])))


@fault("few_slices", "c4")
def four_slices(data):
    data.both("c4", lambda array, affine: (array[:, :, 5:9], reindexed(affine, shift=(0, 0, 5))))


@fault("orientation", "c2", "c7")
def two_files_without_directions(data):
    for name in ("c2", "c7"):
        data.put(
            name,
            image=replace(data.image(name), orientation="assumed"),
            mask=replace(data.mask(name), orientation="assumed"),
        )


@fault("other_image", "c5")
def a_mask_with_the_digest_of_another_image(data):
    data.put("c5", mask=replace(data.mask("c5"), source_sha256="ab" * 32))


@fault("off_image", "c6")
def a_mask_in_the_black_corner(data):
    black = ~data.image("c6").field_of_view
    black[20:] = black[:, :24] = False
    data.draw("c6", lambda mask: black)


@fault("edges", "c8")
def the_mask_of_another_patient(data):
    data.put("c8", mask=replace(data.mask("c5"), affine=data.mask("c8").affine))


@fault("mirrored_mask", "c7")
def a_mask_upside_down(data):
    data.draw("c7", lambda mask: mask[:, ::-1])


@fault("mirrored_image", "c7")
def image_and_mask_upside_down(data):
    data.both("c7", lambda array, affine: (array[:, ::-1], affine))


@fault("same_image", "c1", "again")
def an_image_twice_under_two_patients(data):
    data.add("again", "training", patient="P99")
    data.put("again", image=data.image("c1"), mask=data.mask("c1"))


@fault("near_copy", "c2", "export")
def a_resampled_cropped_brighter_copy_in_validation(data):
    data.add("export", "validation", patient="P99")
    image, mask = resampled(data.image("c2"), data.mask("c2"), (1.4, 1.4, 1), gamma=0.7)
    data.put("export", image=image, mask=mask)


@fault("near_copy", "c4", "mirrored")
def a_mirrored_copy(data):
    data.add("mirrored", "training", patient="P99")
    image, mask = resampled(data.image("c4"), data.mask("c4"), (1, 1, 1), mirrored=True)
    data.put("mirrored", image=image, mask=mask)


@fault("near_copy", "c1", "redrawn")
def a_brighter_copy_with_another_mask(data):
    data.add("redrawn", "training", patient="P99")
    image, mask = data.image("c1"), data.mask("c1")
    brighter = np.clip(image.array * 1.2, 0, 255).astype(np.uint8)
    data.put("redrawn", image=image.with_array(brighter), mask=replace(mask, labels=np.roll(mask.labels, 2, 0)))


@fault("patient_leak", "c1", "c9")
def a_patient_in_two_sections(data):
    data.cases["c9"]["patient"] = "P1"


@fault("patient_names", "c1", "c2")
def a_patient_spelled_in_two_ways(data):
    data.cases["c2"]["patient"] = " p1"


@fault("empty", "c3")
def an_empty_mask(data):
    data.draw("c3", np.zeros_like)


@fault("gaps", "c3")
def a_mask_without_one_slice(data):
    data.draw("c3", lambda mask: mask & (np.arange(14) != 7))


@fault("islands", "c3")
def a_piece_beside_the_gland(data):
    data.draw("c3", lambda mask: mask | np.pad(np.ones((3, 3, 1), bool), ((26, 27), (2, 39), (7, 6))))


@fault("holes", "c3")
def a_mask_without_its_middle(data):
    def hollow(mask):
        i, j, k = np.argwhere(mask).mean(axis=0).round().astype(int)
        mask[i - 1 : i + 2, j - 1 : j + 2, k] = False
        return mask

    data.draw("c3", hollow)


@fault("cut", "c3")
def a_gland_up_to_the_first_slice(data):
    def longer(mask):
        first = np.flatnonzero(mask.any((0, 1)))[0]
        mask[:, :, :first] = mask[:, :, first, None]
        return mask

    data.draw("c3", longer)


@fault("unseen", "c6")
def a_mask_beyond_the_fan(data):
    seen = data.image("c6").field_of_view

    def wider(mask):
        k = np.argwhere(mask).mean(axis=0).round().astype(int)[2]
        row = np.flatnonzero((mask[:, :, k].any(0)) & ~seen[:-1, :, k].all(0))[-1]
        mask[1:30, row - 1 : row + 1, k - 1 : k + 2] = True
        return mask

    data.draw("c6", wider)


@fault("volume", "c3")
def a_gland_of_2_ml(data):
    i, j, k = np.argwhere(data.mask("c3").mask()).mean(axis=0).round().astype(int)
    distance = np.indices((56, 44, 14)) * np.reshape((1.8, 1.8, 4.5), (3, 1, 1, 1))
    centre = np.reshape((i * 1.8, j * 1.8, k * 4.5), (3, 1, 1, 1))
    data.draw("c3", lambda mask: np.linalg.norm(distance - centre, axis=0) < 7.8)


@fault("shape", "c3")
def a_cross_instead_of_a_gland(data):
    i, j, k = np.argwhere(data.mask("c3").mask()).mean(axis=0).round().astype(int)

    def cross(mask):
        mask[:] = False
        mask[i - 14 : i + 15, j - 3 : j + 4, k - 1 : k + 2] = True
        mask[i - 3 : i + 4, j - 12 : j + 13, k - 1 : k + 2] = True
        mask[i - 3 : i + 4, j - 3 : j + 4, 2:12] = True
        return mask

    data.draw("c3", cross)


@fault("outside_parent", "c0")
def a_urethra_beside_the_gland(data):
    mask, (zones, _) = data.mask("c0"), read_segments(data.folder / data.cases["c0"]["label"])
    zones.pop("CTV")
    zones["Urethra"] = np.roll(zones["Urethra"], 20, axis=0)
    write(replace(mask, structures=zones), data.folder / data.cases["c0"]["label"])


@fault("invalid_entry", "validation[1]")
def an_image_that_is_not_there(data):
    data.cases["c9"]["image"] = "images/c99.nii.gz"


@fault("unreadable", "c9")
def a_damaged_image(data):
    (data.folder / "images/c9.nii.gz").write_bytes(b"not an image")


@fault("unknown_structure", "c5")
def a_structure_with_a_spelling_mistake(data):
    copyfile(data.folder / "labels/c5.nii.gz", data.folder / "labels/u.nii.gz")
    data.cases["c5"]["structures"] = {"uretra": "labels/u.nii.gz"}


@fault("outside_folder", "c8")
def a_path_out_of_the_folder(data):
    (data.folder / "images/c8.nii.gz").rename(data.folder.parent / "c8.nii.gz")
    data.cases["c8"]["image"] = "../c8.nii.gz"
