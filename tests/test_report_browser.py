"""The pages in headless Chromium, as a reader meets them: no complaint, no request, wheel, keys, toggles, 3D."""

import io
import socket
import time

import numpy as np
import pytest
from PIL import Image

from prostate_seg.cli import main
from prostate_seg.writing import write

pytestmark = pytest.mark.browser

By = pytest.importorskip("selenium.webdriver.common.by").By


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    from browser import chromium

    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture(scope="module")
def results(small_phantom, tiny_bundle, tmp_path_factory):
    """A segmented phantom with its page, an evaluation of three cases, a comparison."""
    from dataclasses import replace

    from prostate_seg.phantom import make_phantom

    folder = tmp_path_factory.mktemp("results")
    for name in ("images", "labels", "one", "two"):
        (folder / name).mkdir()
    for seed, name in enumerate(("case1", "case2", "case10")):
        phantom = make_phantom(5 + seed, shape=(80, 60, 8), spacing_mm=(1.2, 1.2, 5.0))
        write(phantom.image, folder / "images" / f"{name}.nii.gz")
        write(phantom.truth, folder / "labels" / f"{name}.nii.gz")
        for which, by in (("one", 1), ("two", 2 + 2 * seed)):
            moved = np.roll(phantom.truth.labels, by, axis=0)
            write(replace(phantom.truth, labels=moved), folder / which / f"{name}.nii.gz")
    arguments = ["segment", folder / "images" / "case1.nii.gz", "-o", folder / "out", "--bundle", tiny_bundle]
    assert main([*map(str, arguments), "--format", "report", "--tta", "none"]) == 0
    for which in ("one", "two"):
        pair = [str(folder / which), str(folder / "labels")]
        assert (
            main(["evaluate", *pair, "-o", str(folder / f"eval-{which}"), "--images", str(folder / "images")]) == 0
        )
    evaluations = [str(folder / "eval-one"), str(folder / "eval-two")]
    assert main(["compare", *evaluations, "-o", str(folder / "compared")]) == 0
    return folder


def opened(driver, path):
    from browser import complaints, requests

    driver.get("about:blank")
    requests(driver)
    complaints(driver)
    driver.get(path.as_uri())
    return driver


def eventually(check):
    for _ in range(100):
        if check():
            return
        time.sleep(0.1)
    raise AssertionError("it did not happen within 10 s")


def colours(element):
    return np.asarray(Image.open(io.BytesIO(element.screenshot_as_png)).convert("RGB")).astype(int)


def number(driver):
    return int(driver.find_element(By.ID, "where").text.split()[1])


def visible(driver, colour):
    """How many pixels of the stage have about this colour."""
    pixels = colours(driver.find_element(By.ID, "stage"))
    return int((np.abs(pixels - colour).max(axis=2) < 40).sum())


@pytest.mark.parametrize("page", ["out/case1/report.html", "eval-one/report.html", "eval-one/cases/case1.html"])
def test_a_page_complains_of_nothing_and_asks_for_nothing_but_itself(driver, results, page):
    from browser import complaints, requests

    opened(driver, results / page)
    eventually(lambda: driver.find_elements(By.CSS_SELECTOR, ".js-plotly-plot .main-svg"))
    time.sleep(1)
    assert complaints(driver) == []
    assert requests(driver) == [(results / page).as_uri()]


def test_the_policy_stops_a_request_that_a_script_would_make(driver, results):
    from browser import complaints

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(1.0)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/leak"
        opened(driver, results / "out/case1/report.html")
        driver.execute_script(f"new Image().src = '{address}'; fetch('{address}').catch(() => 0)")
        with pytest.raises(TimeoutError):
            server.accept()
    assert "Content Security Policy" in complaints(driver)[0]


def test_wheel_arrows_page_keys_home_and_end_change_the_slice(driver, results):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
    from selenium.webdriver.common.keys import Keys

    opened(driver, results / "eval-one/cases/case1.html")
    stage, body = driver.find_element(By.ID, "stage"), driver.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.HOME)
    assert number(driver) == 1
    picture = driver.find_element(By.ID, "slice").get_attribute("src")
    ActionChains(driver).scroll_from_origin(ScrollOrigin.from_element(stage), 0, 100).perform()
    eventually(lambda: number(driver) == 2)
    assert driver.find_element(By.ID, "slice").get_attribute("src") != picture
    assert driver.execute_script("return window.scrollY") == 0  # the page itself stays where it is
    body.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_UP)
    assert number(driver) == 4
    body.send_keys(Keys.ARROW_LEFT)
    assert number(driver) == 3
    body.send_keys(Keys.PAGE_UP)
    assert number(driver) == 8
    body.send_keys(Keys.END, Keys.ARROW_RIGHT)
    assert number(driver) == 8  # there is no ninth
    slider = driver.find_element(By.ID, "slider")
    slider.send_keys(Keys.ARROW_LEFT)
    assert (number(driver), slider.get_attribute("value")) == (7, "6")
    assert slider.get_attribute("aria-valuetext").startswith("Slice 7 of 8 in the file")


def test_the_keys_c_and_r_take_the_contours_away_and_bring_them_back(driver, results):
    opened(driver, results / "eval-one/cases/case1.html")
    body = driver.find_element(By.TAG_NAME, "body")
    yellow, blue = (255, 214, 0), (0, 213, 255)
    both = visible(driver, yellow), visible(driver, blue)
    assert min(both) > 100
    body.send_keys("c")
    assert (visible(driver, yellow), visible(driver, blue) > 100) == (0, True)
    body.send_keys("cr")
    assert (visible(driver, yellow), visible(driver, blue)) == (pytest.approx(both[0], rel=0.3), 0)
    assert not driver.find_element(By.CSS_SELECTOR, "[data-key=R]").is_selected()


def test_the_uncertainty_comes_on_demand(driver, results):
    opened(driver, results / "out/case1/report.html")
    assert not driver.find_element(By.ID, "uncertainty").is_displayed()
    driver.find_element(By.TAG_NAME, "body").send_keys("u")
    assert driver.find_element(By.ID, "uncertainty").is_displayed()
    assert visible(driver, (200, 55, 150)) > 100  # random weights are unsure nearly everywhere


def test_the_surface_is_drawn(driver, results):
    opened(driver, results / "eval-one/cases/case1.html")
    surface = driver.find_element(By.ID, "surface")
    driver.execute_script("arguments[0].scrollIntoView()", surface)
    eventually(lambda: (np.ptp(colours(surface), axis=2) > 40).mean() > 0.03)  # 3 % of it is coloured


def test_the_table_sorts_by_number_and_name_and_filters(driver, results):
    opened(driver, results / "eval-two/report.html")
    names = lambda: [  # noqa: E731
        row.find_element(By.TAG_NAME, "td").text
        for row in driver.find_elements(By.CSS_SELECTOR, "#cases tbody tr")
        if row.is_displayed()
    ]
    case, dice = driver.find_elements(By.CSS_SELECTOR, "#cases th button")[:2]
    case.click()
    assert names() == ["case1", "case2", "case10"]  # not case1, case10, case2
    case.click()
    assert names() == ["case10", "case2", "case1"]
    dice.click()
    assert names()[0] == "case10"  # moved by 6 voxels, the others by 2 and 4
    assert driver.find_elements(By.CSS_SELECTOR, "#cases th")[1].get_attribute("aria-sort") == "ascending"
    driver.find_element(By.CSS_SELECTOR, "input[type=search]").send_keys("case1")
    assert names() == ["case10", "case1"]
    assert driver.find_element(By.CSS_SELECTOR, "[data-count=cases]").text == "2 rows"


def test_a_worst_case_leads_to_its_page_and_back(driver, results):
    opened(driver, results / "eval-two/report.html")
    driver.find_element(By.CSS_SELECTOR, "figcaption a").click()
    eventually(lambda: driver.title == "Evaluation of case10")
    driver.find_element(By.LINK_TEXT, "All cases").click()
    eventually(lambda: driver.title == "Evaluation")


def test_a_comparison_draws_a_point_a_case(driver, results):
    from browser import complaints

    opened(driver, results / "compared/comparison.html")
    eventually(lambda: len(driver.find_elements(By.CSS_SELECTOR, "#scatter0 .point")) == 3)
    assert complaints(driver) == []


def test_a_reader_without_a_mouse_reaches_everything_by_tab_and_every_control_has_a_name(driver, results):
    opened(driver, results / "out/case1/report.html")
    controls = driver.find_elements(By.CSS_SELECTOR, "input, button, #stage")
    assert all(control.accessible_name for control in controls)
    from selenium.webdriver.common.keys import Keys

    reached = set()
    for _ in range(6):
        driver.switch_to.active_element.send_keys(Keys.TAB)
        focus = driver.switch_to.active_element
        reached.add(focus.get_attribute("id") or focus.get_attribute("data-target"))
    assert {"stage", "slider", "layer0", "uncertainty"} <= reached
