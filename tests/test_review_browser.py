"""The page of `review` in headless Chromium: mouse and keyboard, two windows, themes and widths, a lost server."""

import os
import re
import signal

import numpy as np
import pytest
from matplotlib.path import Path as Polygon
from serving import reviewed

pytestmark = pytest.mark.browser

By = pytest.importorskip("selenium.webdriver.common.by").By
from browser import complaints, eventually, serious  # noqa: E402 - needs selenium
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

CORNERS = ((-150, -110), (150, -110), (150, 90), (-150, 90))  # pixels from the middle of the slice
LEAVING = """
const leaving = new Event('beforeunload', {cancelable: true});
window.dispatchEvent(leaving);
return leaving.defaultPrevented"""
BLIND = """
const real = fetch;
window.fetch = async (path, ...more) =>
  path.endsWith('version') ? new Response('{"version": null}') : real(path, ...more)"""
CONTRASTS = """
const light = (text) => text.match(/[\\d.]+/g).slice(0, 3).map((c) => c / 255)
  .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
  .reduce((sum, c, n) => sum + c * [0.2126, 0.7152, 0.0722][n], 0);
const paper = (one) => {
  const colour = getComputedStyle(one).backgroundColor;
  return colour === 'rgba(0, 0, 0, 0)' ? paper(one.parentElement) : colour;
};
const written = [...document.querySelectorAll('body *')].filter((one) =>
  one.checkVisibility() && !one.disabled && !one.closest('svg, .picture') &&
  [...one.childNodes].some((part) => part.nodeType === 3 && part.textContent.trim()));
return written.map((one) => {
  const pair = [light(getComputedStyle(one).color), light(paper(one))].sort();
  return [(Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05), one.outerHTML.slice(0, 80)];
})"""


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return tmp_path_factory.mktemp("review") / "out"


@pytest.fixture(scope="module")
def server(nifti_case, tiny_bundle, output, repository):
    with reviewed(nifti_case[0], "-o", output, "--bundle", tiny_bundle, repository=repository) as server:
        yield server


@pytest.fixture
def page(server, driver):
    """The server, with its only case open in the browser and without hints."""
    while server.ask("undo")[0] == 200:
        pass
    yield opened(driver, server)
    driver.get("about:blank")


def opened(driver, server):
    driver.get("about:blank")
    complaints(driver)
    driver.get(server.address)
    eventually(lambda: "mL" in text(driver, "volume") and outline(driver))
    eventually(lambda: driver.find_element(By.ID, "gray").get_dom_attribute("href"))
    return server


def text(driver, name):
    return driver.find_element(By.ID, name).text


def outline(driver):
    return driver.find_element(By.ID, "now").get_dom_attribute("d")


def hints(driver):
    rows = "return [...document.querySelectorAll('#hints li')].map(row => row.innerText.split(',')[0])"
    return driver.execute_script(rows)  # at once: the list is made anew after each hint


def press(driver, name):
    driver.find_element(By.ID, name).click()


def use(driver, tool):
    driver.find_element(By.CSS_SELECTOR, f"[name=tool][value='{tool}']").click()


def drag(driver, *places):
    """Press at the first place, move to the others, release; places in pixels from the middle of the slice."""
    svg = driver.find_element(By.ID, "svg")
    actions = ActionChains(driver, duration=50).move_to_element_with_offset(svg, *places[0]).click_and_hold()
    for place in places[1:]:
        actions.move_to_element_with_offset(svg, *place)
    actions.release().perform()


def test_a_click_on_the_boundary_changes_the_outline_and_undo_brings_it_back(driver, page, output):
    first = outline(driver)
    drag(driver, (60, 20))
    eventually(lambda: hints(driver) == ["Point on the boundary"])
    assert outline(driver) != first
    assert (output / "scan.hints.json").is_file()
    press(driver, "undo")
    eventually(lambda: hints(driver) == [])
    assert outline(driver) == first
    assert not (output / "scan.hints.json").exists()
    driver.find_element(By.ID, "stage").send_keys("i", Keys.ENTER)  # a point inside, at the centre
    eventually(lambda: hints(driver) == ["Point inside"])
    for _ in range(2):
        press(driver, "save")
        eventually(lambda: text(driver, "saved") == "Saved." and "ctv.nii.gz" in text(driver, "status"))
    assert (output / "scan" / "ctv.nii.gz").is_file()
    assert complaints(driver) == []


def test_a_dragged_contour_is_the_outline_of_its_slice_with_a_dice_above_0_96(driver, page):
    use(driver, "contour")
    drag(driver, *CORNERS, (-150, -100))
    eventually(lambda: hints(driver) == ["Contour"])
    width, height = page.ask("open")[1]["extent"]
    rect = driver.find_element(By.ID, "svg").rect
    drawn = [(width * (0.5 + x / rect["width"]), height * (0.5 + y / rect["height"])) for x, y in CORNERS]
    sent = page.ask("open")[1]["hints"][0]["lines"][0]
    assert np.allclose([min(sent), max(sent)], [drawn[0], drawn[2]], atol=0.5)
    followed = [tuple(map(float, point.split(","))) for point in re.findall(r"[\d.]+,[\d.]+", outline(driver))]
    grid = np.moveaxis(np.mgrid[0:width:0.3, 0:height:0.3], 0, -1).reshape(-1, 2)
    one, other = (Polygon(line).contains_points(grid) for line in (drawn, followed))
    assert 2 * (one & other).sum() / (one.sum() + other.sum()) > 0.96  # voxels of 1.2 mm
    drag(driver, (0, 0))
    eventually(lambda: "at least three points" in text(driver, "status"))


def test_brush_lines_and_planes_are_sent_in_mm_and_a_line_that_leaves_the_slice_ends_at_its_border(driver, page):
    width = page.ask("open")[1]["extent"][0]
    use(driver, "scribble inside")
    drag(driver, (-20, 0), (0, 0), (20, 0))
    use(driver, "scribble outside")
    edge = driver.find_element(By.ID, "svg").size["width"] // 2
    drag(driver, (edge - 20, 0), (edge + 30, 0))
    press(driver, "apex")
    eventually(lambda: hints(driver) == ["Brush inside", "Brush outside", "Apex"])
    inside, outside, _ = page.ask("open")[1]["hints"]
    assert inside["radius_mm"] == outside["radius_mm"] == 2.0
    assert inside["lines"][0][-1][0] - inside["lines"][0][0][0] == pytest.approx(20 * width / edge, abs=0.5)
    assert outside["lines"][0][-1][0] == pytest.approx(width, abs=0.01)


def test_next_suggestion_displays_the_slice_and_the_place_that_the_server_names(driver, page):
    found, numbers = page.ask("suggest")[1], page.ask("open")[1]["numbers"]
    press(driver, "suggest")
    eventually(lambda: "click the true boundary near the ring" in text(driver, "status"))
    assert text(driver, "where") == f"{numbers[found['slice']]} of 8"
    ring = driver.find_element(By.ID, "ring")
    across, down = found["at"]
    assert ring.get_dom_attribute("transform") == f"translate({across:g} {down:g})"
    driver.find_element(By.ID, "stage").send_keys(Keys.ENTER)  # the cursor is there
    eventually(lambda: hints(driver) == ["Point on the boundary"])
    assert page.ask("open")[1]["hints"][0]["lines"] == [[found["at"]]]
    assert ring.get_dom_attribute("hidden") is not None


def test_by_keyboard_a_contour_of_3_points_is_drawn_undone_and_redone_on_its_slice(driver, page):
    stage = driver.find_element(By.ID, "stage")
    stage.send_keys("c", Keys.ENTER, Keys.SHIFT, Keys.ARROW_UP * 8, Keys.NULL, Keys.ENTER)
    assert driver.execute_script(LEAVING) is True  # a line would be lost
    stage.send_keys(Keys.SHIFT, Keys.ARROW_RIGHT * 8, Keys.ENTER, Keys.NULL)
    eventually(lambda: hints(driver) == ["Contour"])
    assert np.ptp(page.ask("open")[1]["hints"][0]["lines"][0], axis=0) == pytest.approx([8.0, 8.0])  # mm
    there, drawn = text(driver, "where"), outline(driver)
    stage.send_keys(Keys.ARROW_UP)
    assert text(driver, "where") != there
    stage.send_keys("u")
    eventually(lambda: hints(driver) == [] and text(driver, "where") == there)
    stage.send_keys(Keys.ARROW_UP, "r")
    eventually(lambda: hints(driver) == ["Contour"] and text(driver, "where") == there)
    assert outline(driver) == drawn
    assert driver.switch_to.active_element == stage


def test_leaving_asks_only_for_masks_that_this_window_changed_and_did_not_save(driver, page):
    assert driver.execute_script(LEAVING) is False
    drag(driver, (60, 20))
    eventually(lambda: hints(driver) == ["Point on the boundary"])
    assert driver.execute_script(LEAVING) is True
    press(driver, "save")
    eventually(lambda: text(driver, "saved") == "Saved.")
    assert driver.execute_script(LEAVING) is False
    opened(driver, page)
    assert hints(driver) == ["Point on the boundary"]
    assert driver.execute_script(LEAVING) is False


def test_a_second_window_displays_the_hints_of_the_first_and_says_so(driver, page):
    first = driver.current_window_handle
    driver.switch_to.new_window("window")
    try:
        opened(driver, page)
        before = outline(driver)
        assert page.ask("add", type="point", side="outside", slice=4, points=[[48, 36]])[0] == 200
        eventually(lambda: hints(driver) == ["Point outside"])  # without a click
        eventually(
            lambda: text(driver, "status") == "Another window changed this case; it is displayed as it is now."
        )
        assert outline(driver) != before
        driver.execute_script("document.getElementById('undo').click()")
        eventually(lambda: hints(driver) == [])
        drag(driver, (60, 20))
        eventually(lambda: hints(driver) == ["Point on the boundary"])
    finally:
        driver.close()
        driver.switch_to.window(first)
    eventually(lambda: hints(driver) == ["Point on the boundary"])


def test_a_click_at_the_time_of_another_windows_hint_adds_to_it_and_undo_is_refused(driver, page):
    driver.execute_script(BLIND)
    point = {"type": "point", "side": "inside", "slice": 4}
    assert page.ask("add", points=[[48, 36]], **point)[0] == 200
    drag(driver, (60, 20))
    eventually(lambda: hints(driver) == ["Point inside", "Point on the boundary"])
    eventually(lambda: text(driver, "status").endswith("Your hint was added."))
    assert page.ask("add", points=[[47, 36]], **point)[0] == 200
    press(driver, "undo")
    eventually(lambda: "look at it, and repeat the step" in text(driver, "status"))
    assert hints(driver) == ["Point inside", "Point on the boundary", "Point inside"]


@pytest.mark.parametrize("dark", [False, True])
def test_every_text_has_a_contrast_of_4_5_in_both_themes_and_axe_finds_nothing_serious(
    driver, page, narrow, repository, dark
):
    narrow(1280, dark=dark)
    drag(driver, (60, 20))
    eventually(lambda: hints(driver) == ["Point on the boundary"])
    found = driver.execute_script(CONTRASTS)
    assert len(found) > 30
    assert [one for one in found if one[0] < 4.5] == []
    assert not serious(driver, repository)
    background = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(22, 24, 27)" if dark else "rgb(255, 255, 255)")


def test_on_a_telephone_of_360_pixels_the_slice_is_wide_and_nothing_is_cut(driver, page, narrow):
    narrow(360)
    assert driver.execute_script("return document.documentElement.scrollWidth") == 360
    assert driver.find_element(By.ID, "stage").size["width"] >= 330
    cut = "return [...document.querySelectorAll('label, button')].map((one) => one.getBoundingClientRect().right)"
    assert max(driver.execute_script(cut)) <= 360
    drag(driver, (20, 10))
    eventually(lambda: hints(driver) == ["Point on the boundary"])


def test_a_lost_server_is_reported_and_its_hints_are_kept(driver, nifti_case, tiny_bundle, tmp_path, repository):
    arguments = (nifti_case[0], "-o", tmp_path / "out", "--bundle", tiny_bundle)
    with reviewed(*arguments, repository=repository) as server:
        opened(driver, server)
        drag(driver, (60, 20))
        eventually(lambda: hints(driver) == ["Point on the boundary"])
        kept = (tmp_path / "out" / "scan.hints.json").read_bytes()
        os.kill(server.process.pid, signal.SIGKILL)
        eventually(lambda: text(driver, "status").startswith("The server does not answer."))
        drag(driver, (40, 20))
        assert driver.find_element(By.ID, "drawn").get_dom_attribute("d") == ""  # no hint that nobody keeps
        assert hints(driver) == ["Point on the boundary"]
        assert driver.execute_script(LEAVING) is False
    assert (tmp_path / "out" / "scan.hints.json").read_bytes() == kept
