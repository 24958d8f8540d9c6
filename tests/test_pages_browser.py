"""The other pages in headless Chromium, and what holds for all: no complaint, no request, widths, axe, print."""

import json
import shutil
import socket
import time

import pytest

pytestmark = pytest.mark.browser

By = pytest.importorskip("selenium.webdriver.common.by").By
from browser import complaints, eventually, opened, requests, serious  # noqa: E402 - needs selenium


@pytest.mark.parametrize("page", ["out/case1/report.html", "eval-one/report.html", "eval-one/cases/case1.html"])
def test_a_page_complains_of_nothing_and_asks_for_nothing_but_itself(driver, browser_results, page):
    opened(driver, browser_results / page)
    eventually(lambda: driver.find_elements(By.CSS_SELECTOR, ".js-plotly-plot .main-svg"))
    time.sleep(1)
    assert complaints(driver) == []
    assert requests(driver) == [(browser_results / page).as_uri()]


def test_the_policy_stops_a_request_that_a_script_would_make(driver, browser_results):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(1.0)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/leak"
        opened(driver, browser_results / "out/case1/report.html")
        driver.execute_script(f"new Image().src = '{address}'; fetch('{address}').catch(() => 0)")
        with pytest.raises(TimeoutError):
            server.accept()
    assert "Content Security Policy" in complaints(driver)[0]


@pytest.mark.parametrize("page", ["out/case1/report.html", "eval-one/report.html", "compared/comparison.html"])
@pytest.mark.parametrize("width", [1400, 800, 400])
def test_no_page_is_wider_than_the_window(driver, browser_results, narrow, page, width):
    for dark in (False, True):
        narrow(width, dark=dark)
        opened(driver, browser_results / page)
        assert driver.execute_script("return document.documentElement.scrollWidth") <= width
    background = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert background == "rgb(22, 24, 27)"


def test_at_1400_pixels_the_verdict_of_a_comparison_is_in_the_window_and_printed(driver, browser_results, narrow):
    narrow(1400)
    opened(driver, browser_results / "compared/comparison.html")
    last = driver.find_elements(By.CSS_SELECTOR, "#differences th")[-1]
    assert last.text == "second is"
    assert last.location["x"] + last.size["width"] <= 1400
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    narrowed = {"width": 720, "height": 1000, "deviceScaleFactor": 1, "mobile": False}  # A4 with margins
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", narrowed)
    assert last.location["x"] + last.size["width"] <= 720
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


@pytest.mark.parametrize(
    "page", ["out/case1/report.html", "out/review.html", "eval-one/report.html", "compared/comparison.html"]
)
def test_axe_finds_nothing_serious(driver, browser_results, repository, narrow, page):
    for dark in (False, True):
        narrow(1400, dark=dark)
        opened(driver, browser_results / page)
        time.sleep(1)
        found = serious(driver, repository)
        if found is None:
            pytest.skip("axe-core is not installed")
        assert found == []


def test_the_review_keeps_states_counts_and_exports_them(driver, browser_results):
    opened(driver, browser_results / "out/review.html")
    item = driver.find_element(By.CSS_SELECTOR, "#worklist > li")
    assert item.find_elements(By.CSS_SELECTOR, ".thumbnail svg image")
    assert driver.find_element(By.ID, "progress").text == "0 of 1 cases done"
    item.find_element(By.CSS_SELECTOR, "input[value=accepted]").click()
    assert driver.find_element(By.ID, "progress").text == "1 of 1 cases done"
    opened(driver, browser_results / "out/review.html")
    assert driver.find_element(By.CSS_SELECTOR, "input[value=accepted]").is_selected()
    driver.execute_script(
        "window.saved = []; URL.createObjectURL = (blob) => { blob.text().then((t) => saved.push(t)); return '#'; }"
    )
    driver.find_element(By.ID, "export").click()
    eventually(lambda: driver.execute_script("return saved.length") == 1)
    assert driver.execute_script("return saved[0]") == 'case,state\n"case1",accepted\n'
    driver.find_element(By.ID, "only-open").click()
    assert not driver.find_element(By.CSS_SELECTOR, "#worklist > li").is_displayed()


def test_the_review_says_if_the_browser_keeps_nothing(driver, browser_results):
    script = "Object.defineProperty(window, 'localStorage', { get() { throw new Error('denied'); } });"
    added = driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": script})
    try:
        opened(driver, browser_results / "out/review.html")
        assert "This browser keeps no states" in driver.find_element(By.ID, "storage").text
        driver.find_element(By.CSS_SELECTOR, "input[value=seen]").click()
        assert driver.find_element(By.ID, "progress").text == "1 of 1 cases done"
        assert complaints(driver) == []
    finally:
        driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", {"identifier": added["identifier"]})


def test_a_review_without_the_images_of_its_cases_says_so(browser_results, tmp_path):
    from prostate_seg.report import write_review

    shutil.copytree(browser_results / "out", tmp_path / "out")
    (tmp_path / "out" / "case1" / "trus.nrrd").unlink()
    manifest = json.loads((tmp_path / "out" / "case1" / "manifest.json").read_text())
    (tmp_path / "out" / "review.html").unlink()
    (tmp_path / "out" / "review.csv").unlink()
    write_review(tmp_path / "out", {"case1": manifest})
    assert "No picture: trus.nrrd or ctv.nii.gz is not there." in (tmp_path / "out" / "review.html").read_text()


def test_the_table_sorts_by_number_and_name_and_filters(driver, browser_results):
    opened(driver, browser_results / "eval-two/report.html")
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


def test_a_worst_case_leads_to_its_page_and_back(driver, browser_results):
    opened(driver, browser_results / "eval-two/report.html")
    driver.find_element(By.CSS_SELECTOR, "figcaption a").click()
    eventually(lambda: driver.title == "Evaluation of case10")
    driver.find_element(By.LINK_TEXT, "All cases").click()
    eventually(lambda: driver.title == "Evaluation")


def test_a_comparison_draws_a_point_a_case(driver, browser_results):
    opened(driver, browser_results / "compared/comparison.html")
    eventually(lambda: len(driver.find_elements(By.CSS_SELECTOR, "#scatter0 .point")) == 3)
    assert complaints(driver) == []
