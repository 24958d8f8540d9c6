"""A manifest that somebody changed is one sentence, whichever entry it is."""

import json

import pytest

from prostate_seg.errors import InputError, SettingsError
from prostate_seg.reading.acquisition import Acquisition
from prostate_seg.writing.current_mask import manifest_of


@pytest.mark.parametrize("bundle", [{"name": "a"}, {"version": "1"}])
def test_d1_a_bundle_without_name_or_version_is_refused(tmp_path, bundle):
    (tmp_path / "manifest.json").write_text(json.dumps({"bundle": bundle}))
    with pytest.raises(InputError, match="its bundle has no name or version; segment the case again"):
        manifest_of(tmp_path)


@pytest.mark.parametrize("spacing", ["1", [1.0], {}])
def test_d1_a_frame_spacing_that_is_no_number_is_refused(spacing):
    with pytest.raises(SettingsError, match=r"The frame spacing is no number of mm, expected 0\.01 to 100 mm"):
        Acquisition(frame_spacing_mm=spacing)
