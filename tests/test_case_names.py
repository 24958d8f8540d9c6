"""Names of the cases of an archive."""

from prostate_seg.reading.case_names import free_name


def test_100_000_files_of_one_name_are_named_at_once_and_no_name_occurs_twice():
    taken = {}
    assert [free_name(name, taken) for name in ("a", "A", "a-2", "a", "a-2")] == [
        "a",
        "A-2",
        "a-2-2",
        "a-3",
        "a-2-3",
    ]
    names = [free_name("scan", taken) for _ in range(100_000)]
    assert names[:2] == ["scan", "scan-2"]
    assert names[-1] == "scan-100000"
