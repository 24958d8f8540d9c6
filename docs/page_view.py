"""Takes the pictures of docs/evaluation.md in headless Chromium (extra "browser"; chromium and chromium-driver).

python docs/page_view.py PAGE.html docs/PICTURE.png WIDTH HEIGHT [KEYS]
"""

import sys
import tempfile
import time
from pathlib import Path

from selenium.webdriver.common.by import By

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from browser import chromium


def main() -> None:
    """Open the page, press the keys, wait for its plots, take the picture."""
    page, picture, width, height, *keys = sys.argv[1:]
    with tempfile.TemporaryDirectory() as profile, chromium(profile) as driver:
        driver.set_window_size(int(width), int(height))
        driver.get(Path(page).resolve().as_uri())
        if keys:
            driver.find_element(By.ID, "stage").send_keys(*keys)
        time.sleep(5)
        driver.save_screenshot(picture)


if __name__ == "__main__":
    main()
