"""The page of `review` in headless Chromium: a click on the boundary, undo, the keyboard, save."""

import pytest
from serving import reviewed

pytestmark = pytest.mark.browser

By = pytest.importorskip("selenium.webdriver.common.by").By
from browser import complaints, eventually  # noqa: E402 - needs selenium
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402


def text(driver, name):
    return driver.find_element(By.ID, name).text


def outline(driver):
    return driver.find_element(By.ID, "now").get_dom_attribute("d")


def hints(driver):
    rows = "return [...document.querySelectorAll('#hints li')].map(row => row.innerText)"
    return driver.execute_script(rows)  # at once: the list is made anew after each hint


def test_a_click_on_the_boundary_changes_the_outline_and_undo_brings_it_back(
    driver, nifti_case, tiny_bundle, tmp_path, repository
):
    arguments = (nifti_case[0], "-o", tmp_path / "out", "--bundle", tiny_bundle)
    with reviewed(*arguments, repository=repository) as page:
        driver.get("about:blank")
        complaints(driver)
        driver.get(page.address)
        eventually(lambda: text(driver, "volume").endswith("mL"))
        eventually(lambda: driver.find_element(By.ID, "gray").get_dom_attribute("href"))
        first = outline(driver)
        ActionChains(driver).move_to_element_with_offset(
            driver.find_element(By.ID, "svg"), 60, 20
        ).click().perform()
        eventually(lambda: len(hints(driver)) == 1)
        assert hints(driver)[0].startswith("Point on the boundary, slice ")
        assert outline(driver) != first
        assert (tmp_path / "out" / "scan.hints.json").is_file()
        driver.find_element(By.ID, "undo").click()
        eventually(lambda: hints(driver) == [])
        assert outline(driver) == first
        assert not (tmp_path / "out" / "scan.hints.json").exists()
        stage = driver.find_element(By.ID, "stage")
        stage.send_keys("i", Keys.ENTER)  # by keyboard: a point inside, at the centre
        eventually(lambda: [row.split(",")[0] for row in hints(driver)] == ["Point inside"])
        driver.find_element(By.ID, "save").click()
        eventually(lambda: text(driver, "saved") == "Saved.")
        assert (tmp_path / "out" / "scan" / "ctv.nii.gz").is_file()
        assert complaints(driver) == []
