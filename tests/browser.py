"""Chromium without a window, for pages that need a browser."""

import contextlib
import shutil

import pytest


@contextlib.contextmanager
def chromium(profile):
    """A `selenium.webdriver.Chrome`; skips where one of its parts is missing.

    Args:
        profile: a folder of its own.
    """
    webdriver = pytest.importorskip("selenium.webdriver")
    programs = shutil.which("chromium"), shutil.which("chromedriver")
    if None in programs:
        pytest.skip("Chromium and its driver are not here")
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    for word in (
        *("--headless", "--no-sandbox", "--disable-gpu"),
        *("--disable-dev-shm-usage", "--window-size=1400,1500"),
        f"--user-data-dir={profile}",
    ):
        options.add_argument(word)
    service = webdriver.ChromeService(executable_path=programs[1])
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield driver
    finally:
        driver.quit()
