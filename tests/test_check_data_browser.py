"""The page of ``check-data`` in headless Chromium: it asks for nothing, fits a phone, and finds a case by name."""

import pytest
from planted_faults import FAULTS
from training_sets import clean_set, copied

from prostate_seg.cli import main

pytestmark = pytest.mark.browser

By = pytest.importorskip("selenium.webdriver.common.by").By
from browser import complaints, opened, requests  # noqa: E402 - needs selenium


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults")
    data = copied(clean_set(folder / "clean"), folder / "data")
    for name in ("a mask without one slice", "a patient in two sections", "a path out of the folder"):
        FAULTS[name][0](data)
    assert main(["check-data", str(data.save()), "-o", str(folder / "out")]) == 1
    return folder / "out" / "report.html"


def test_the_page_asks_for_nothing_and_lists_three_findings_of_which_a_name_finds_one(driver, page):
    opened(driver, page)
    assert complaints(driver) == []
    assert requests(driver) == [page.as_uri()]
    rows = driver.find_elements(By.CSS_SELECTOR, "#findings tbody tr")
    assert [row.text.split(":")[0] for row in rows] == ["error", "error", "note"]
    driver.find_element(By.CSS_SELECTOR, "input[data-table=findings]").send_keys("c9")
    assert [row.is_displayed() for row in rows] == [False, True, False]


def test_a_phone_shows_the_picture_of_a_case_in_its_width(driver, narrow, page):
    narrow(390)
    opened(driver, page)
    assert driver.execute_script("return document.documentElement.scrollWidth") == 390
    picture = driver.find_element(By.CSS_SELECTOR, "#worklist svg")
    assert 300 < picture.size["width"] <= 366
    assert len(driver.find_elements(By.CSS_SELECTOR, "#worklist > li")) == 3  # c3, c1 and c9; a note has no picture
