"""The page of a case in headless Chromium: planes, wheel, keys, zoom, toggles, surface."""

import numpy as np
import pytest

pytestmark = pytest.mark.browser

By = pytest.importorskip("selenium.webdriver.common.by").By
from browser import colours, eventually, number, opened, picture, visible  # noqa: E402 - needs selenium


def test_wheel_arrows_page_keys_home_and_end_change_the_slice_after_a_click(driver, browser_results):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
    from selenium.webdriver.common.keys import Keys

    opened(driver, browser_results / "eval-one/cases/case1.html")
    stage = driver.find_element(By.ID, "stage")
    stage.click()
    stage.send_keys(Keys.HOME)
    assert number(driver) == 1
    before = picture(driver)
    ActionChains(driver).scroll_from_origin(ScrollOrigin.from_element(stage), 0, 100).perform()
    eventually(lambda: number(driver) == 2)
    assert picture(driver) != before
    assert driver.execute_script("return window.scrollY") == 0  # the page itself stays where it is
    stage.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_UP)
    assert number(driver) == 4
    stage.send_keys(Keys.ARROW_LEFT)
    assert number(driver) == 3
    stage.send_keys(Keys.PAGE_UP)
    assert number(driver) == 8
    stage.send_keys(Keys.END, Keys.ARROW_RIGHT)
    assert number(driver) == 8  # there is no ninth
    slider = driver.find_element(By.ID, "slider")
    slider.send_keys(Keys.ARROW_LEFT)
    assert (number(driver), slider.get_attribute("value")) == (7, "6")
    assert slider.get_attribute("aria-valuetext").startswith("Slice 7 of 8 in the file")


def test_without_a_click_keys_and_wheel_move_the_page_and_not_the_slices(driver, browser_results):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
    from selenium.webdriver.common.keys import Keys

    opened(driver, browser_results / "eval-one/cases/case1.html")
    before = number(driver)
    stage = driver.find_element(By.ID, "stage")
    ActionChains(driver).scroll_from_origin(ScrollOrigin.from_element(stage), 0, 200).perform()
    eventually(lambda: driver.execute_script("return window.scrollY") > 0)
    driver.find_element(By.TAG_NAME, "body").send_keys(Keys.END, "c")
    assert number(driver) == before
    assert driver.find_element(By.CSS_SELECTOR, "[data-key=C]").is_selected()


def test_three_planes_show_the_volume_and_a_click_in_one_moves_the_others(driver, browser_results):
    """A click near the upper end of the sagittal plane is near the base: the last of 8 slices."""
    from selenium.webdriver.common.action_chains import ActionChains

    opened(driver, browser_results / "eval-one/cases/case1.html")
    eventually(lambda: picture(driver, "sagittal") and picture(driver, "coronal"))
    names = [caption.text for caption in driver.find_elements(By.CSS_SELECTOR, ".plane figcaption")]
    assert names == ["Transverse", "Sagittal", "Coronal"]
    sagittal = driver.find_element(By.CSS_SELECTOR, "#sagittal svg")
    before = picture(driver, "coronal")
    height = sagittal.size["height"]
    ActionChains(driver).move_to_element_with_offset(sagittal, 20, 8 - height // 2).click().perform()
    assert number(driver) == 8
    assert picture(driver, "coronal") != before
    for plane in ("sagittal", "coronal"):
        assert driver.find_element(By.CSS_SELECTOR, f"#{plane} path.layer0").get_attribute("d")


def test_zoom_window_and_scale_bar(driver, browser_results):
    """Plus zooms by a quarter, and the scale bar of 10 mm with it. A narrow window makes grays black or white."""
    opened(driver, browser_results / "eval-one/cases/case1.html")
    stage, bar = driver.find_element(By.ID, "stage"), driver.find_element(By.CSS_SELECTOR, "#stage .scale")
    width_mm = float(driver.execute_script("return report.geometry.extent[0]"))
    shown = driver.find_element(By.CSS_SELECTOR, "#stage .picture").size["width"]
    assert bar.size["width"] == pytest.approx(10 / width_mm * shown, abs=1.5)
    before = bar.size["width"]
    stage.click()
    stage.send_keys("+")
    assert bar.size["width"] == pytest.approx(1.25 * before, abs=2)
    stage.send_keys("0")
    assert bar.size["width"] == before
    driver.execute_script(
        "const w = document.getElementById('window'); w.value = 16; w.dispatchEvent(new Event('input'));"
    )
    assert driver.find_element(By.ID, "gray-values").text == "120 to 136"
    gray = colours(stage).reshape(-1, 3)
    even = np.ptp(gray, axis=1) < 6
    assert ((gray[even] < 20) | (gray[even] > 235)).mean() > 0.8


def test_the_keys_c_and_r_take_the_contours_away_and_bring_them_back(driver, browser_results):
    opened(driver, browser_results / "eval-one/cases/case1.html")
    stage = driver.find_element(By.ID, "stage")
    yellow, blue = (255, 214, 0), (0, 213, 255)
    both = visible(driver, yellow), visible(driver, blue)
    assert min(both) > 100
    stage.send_keys("c")
    assert (visible(driver, yellow), visible(driver, blue) > 100) == (0, True)
    stage.send_keys("cr")
    assert (visible(driver, yellow), visible(driver, blue)) == (pytest.approx(both[0], rel=0.3), 0)
    assert not driver.find_element(By.CSS_SELECTOR, "[data-key=R]").is_selected()


def test_the_uncertainty_comes_on_demand_with_a_legend_in_bits(driver, browser_results):
    opened(driver, browser_results / "out/case1/report.html")
    orange = (200, 97, 1)
    stage = driver.find_element(By.ID, "stage")
    stage.send_keys("c")  # some pixels of the CTV's contour have this colour too
    assert visible(driver, orange) == 0
    stage.send_keys("u")
    assert visible(driver, orange) > 100  # random weights are unsure nearly everywhere
    legends = [legend.text for legend in driver.find_elements(By.CSS_SELECTOR, ".legend")]
    assert legends[0].startswith("Uncertainty: 0")
    assert legends[0].endswith("1 bit")


def test_a_strip_has_a_cell_for_every_slice_which_leads_to_it(driver, browser_results):
    opened(driver, browser_results / "out/case1/report.html")
    cells = driver.find_elements(By.CSS_SELECTOR, "#strip i")
    assert len(cells) == 8
    assert cells[2].get_attribute("title").startswith("Slice 3: ")
    cells[2].click()
    assert number(driver) == 3


def test_the_surface_is_drawn(driver, browser_results):
    opened(driver, browser_results / "eval-one/cases/case1.html")
    surface = driver.find_element(By.ID, "surface")
    driver.execute_script("arguments[0].scrollIntoView()", surface)
    eventually(lambda: (np.ptp(colours(surface), axis=2) > 40).mean() > 0.03)  # 3 % of it is coloured


def test_a_reader_without_a_mouse_reaches_everything_by_tab_and_every_control_has_a_name(driver, browser_results):
    opened(driver, browser_results / "out/case1/report.html")
    controls = driver.find_elements(By.CSS_SELECTOR, "input, button, #stage")
    assert all(control.accessible_name for control in controls)
    from selenium.webdriver.common.keys import Keys

    reached = set()
    for _ in range(12):
        driver.switch_to.active_element.send_keys(Keys.TAB)
        focus = driver.switch_to.active_element
        reached.add(focus.get_attribute("id") or focus.get_attribute("data-target"))
    assert {"stage", "slider", "layer0", "uncertainty"} <= reached


def test_a_finger_that_wipes_sideways_changes_the_slice(driver, browser_results):
    """48 pixels to the left are three slices on; up and down stays with the page."""
    opened(driver, browser_results / "eval-one/cases/case1.html")
    driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    try:
        driver.execute_script(
            "const s = document.getElementById('slider'); s.value = 2; s.dispatchEvent(new Event('input'))"
        )
        box = driver.find_element(By.CSS_SELECTOR, "#stage svg").rect
        before = number(driver)
        assert before == 3
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        touch = "Input.dispatchTouchEvent"
        driver.execute_cdp_cmd(touch, {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
        for moved in range(8, 49, 8):
            driver.execute_cdp_cmd(touch, {"type": "touchMove", "touchPoints": [{"x": x - moved, "y": y}]})
        driver.execute_cdp_cmd(touch, {"type": "touchEnd", "touchPoints": []})
        eventually(lambda: number(driver) == before + 3)
    finally:
        driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})


def test_shift_and_arrows_move_the_cross_hair_and_with_it_the_cuts(driver, browser_results):
    from selenium.webdriver.common.keys import Keys

    opened(driver, browser_results / "eval-one/cases/case1.html")
    eventually(lambda: picture(driver, "sagittal"))
    before, slice_before = picture(driver, "sagittal"), number(driver)
    driver.find_element(By.ID, "stage").send_keys(Keys.SHIFT, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    eventually(lambda: picture(driver, "sagittal") != before)
    assert number(driver) == slice_before


def test_needles_have_their_numbers_on_the_slices_that_they_cross_and_can_be_hidden(driver, tmp_path):
    from prostate_seg.geometry.things import Thing
    from prostate_seg.geometry.volume import Segmentation, Volume
    from prostate_seg.writing import write

    affine = np.diag([-1.0, -1.0, 2.0, 1.0])
    labels = np.zeros((60, 40, 8), np.uint8)
    labels[15:45, 10:30, 1:7] = 1
    needles = [Thing("Needle", (-x, -20.0, 0.0), (-x, -20.0, tip), 0.65) for x, tip in ((20.0, 14.0), (40.0, 4.0))]
    image = Volume(np.full(labels.shape, 90, np.uint8), affine)
    write(Segmentation(labels, affine, things=tuple(needles)), tmp_path / "page.html", image=image, format="report")
    opened(driver, tmp_path / "page.html")
    stage = driver.find_element(By.ID, "stage")
    stage.click()

    def numbers():
        return [one.text for one in driver.find_elements(By.CSS_SELECTOR, "#stage .marks text")]

    stage.send_keys("\ue011")  # Home
    eventually(lambda: numbers() == ["1", "2"])
    assert "needles 1 2" in driver.find_element(By.ID, "where").text
    stage.send_keys("\ue010")  # End
    eventually(lambda: numbers() == ["1"])
    driver.find_element(By.CSS_SELECTOR, '[data-target="things0"]').click()
    eventually(lambda: numbers() == [])
