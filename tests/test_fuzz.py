"""The fuzz loop itself: its seeds are valid, its mutations repeatable, and each kind of finding is found."""

from argparse import Namespace
from random import Random

import numpy as np
import pytest
from fuzz import fuzz
from fuzz_mutations import attributes, mutated
from fuzz_seeds import FORMATS, put, us
from fuzz_targets import SECRET_BYTES, Wrong, check, target

from prostate_seg.geometry.volume import Volume


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "bundle"])  # it takes ten seconds
def test_every_seed_is_accepted_by_its_reader(tmp_path, name):
    for seed in FORMATS[name]():
        target(name)(put(seed, tmp_path / "case"))


def test_one_seed_of_the_generator_gives_the_same_100_files_and_another_others():
    seed = us()
    first, again, other = ([mutated(seed, Random(f"{start}{n}")) for n in range(100)] for start in ("a", "a", "b"))
    assert first == again
    assert sum(one == two for one, two in zip(first, other, strict=True)) < 10


def test_attributes_of_dicom_are_found_also_in_the_region_that_calibrates():
    (content,) = us().values()
    tags = {content[at : at + 4] for at, _, _ in attributes(content)}
    assert {b"\x28\x00\x10\x00", b"\x18\x00\x2c\x60", b"\xe0\x7f\x10\x00"} <= tags  # Rows, Physical Delta X, pixels


def test_a_file_beside_the_case_and_an_affine_of_nan_are_no_result():
    secret = np.frombuffer(SECRET_BYTES[:1000], np.uint8).reshape(10, 10, 10)
    with pytest.raises(Wrong, match="beside the case's folder"):
        check(Volume(secret, np.eye(4)))
    with pytest.raises(Wrong, match="singular"):
        check(Namespace(labels=secret, affine=np.diag([1, 1, np.nan, 1])))


def test_two_seconds_of_datalists_are_tried_in_a_process_of_their_own():
    tried = fuzz("datalist", Namespace(seconds=2.0, seed=1, keep=None))
    assert tried.counts["refused"] > 10
    assert tried.line("datalist").startswith(f"datalist: {sum(tried.counts.values())} runs, ")
