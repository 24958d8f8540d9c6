"""Headless Chromium: what its console says, what it asks for, and what its pages show."""

import io
import json
import shutil
import time
from contextlib import contextmanager

import numpy as np
from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--window-size=1280,1000"),
    *("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--hide-scrollbars"),
)


@contextmanager
def chromium(profile):
    """A browser with an empty profile folder."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome")
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


def complaints(driver):
    """What the console said since it was last asked, without Chromium's advice to plotly about a canvas' speed."""
    said = [entry["message"] for entry in driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
    return [text for text in said if "willReadFrequently" not in text]


def requests(driver):
    """The addresses that pages asked for since last asked, without what they carry themselves."""
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    asked = [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]
    return [address for address in asked if not address.startswith(("data:", "blob:", "chrome:"))]


def opened(driver, path):
    driver.get("about:blank")
    requests(driver)
    complaints(driver)
    driver.get(path.as_uri())
    return driver


def eventually(check):
    for _ in range(600):
        if check():
            return
        time.sleep(0.1)
    raise AssertionError("it did not happen within 60 s")


def colours(element):
    return np.asarray(Image.open(io.BytesIO(element.screenshot_as_png)).convert("RGB")).astype(int)


def serious(driver, repository):
    """What axe finds serious or critical; None if axe is not installed, which .ci/run does by npm."""
    axe = repository / "build" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
    if not axe.is_file():
        return None
    driver.execute_script(axe.read_text(encoding="utf-8"))
    found = driver.execute_async_script("axe.run(document).then(arguments[arguments.length - 1])")
    some = [one for one in found["violations"] if one["impact"] in ("serious", "critical")]
    return [(one["id"], one["nodes"][0]["html"][:200]) for one in some]


def number(driver):
    return int(driver.find_element(By.ID, "where").text.split()[1])


def visible(driver, colour):
    """How many pixels of the transverse plane have about this colour."""
    pixels = colours(driver.find_element(By.ID, "stage"))
    return int((np.abs(pixels - colour).max(axis=2) < 40).sum())


def picture(driver, plane="stage"):
    return driver.find_element(By.CSS_SELECTOR, f"#{plane} image.gray").get_attribute("href")


def at_width(driver, width, *, dark=False):
    theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [theme]})
    size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
