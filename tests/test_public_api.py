"""What others import."""

import pkgutil

import pytest

import prostate_seg


def test_the_21_public_names_exist_and_are_these():
    assert len(prostate_seg.__all__) == 21
    for name in prostate_seg.__all__:
        assert getattr(prostate_seg, name).__name__ == name


def test_no_public_function_shares_its_name_with_a_module():
    modules = {module.name for module in pkgutil.iter_modules(prostate_seg.__path__)}
    assert modules & set(prostate_seg.__all__) == set()


def test_a_wrong_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="No prostate_seg attribute segmnet"):
        _ = prostate_seg.segmnet


def test_every_public_name_says_what_it_is():
    for name in prostate_seg.__all__:
        assert getattr(prostate_seg, name).__doc__
