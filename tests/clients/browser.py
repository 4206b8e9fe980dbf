"""Headless Chromium from the system's packages, driven by selenium."""

import base64
import os
import shutil
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait
from support import ROOT

CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
SHOTS = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "screenshots"
DESKTOP, PHONE = (1180, 900), (375, 740)
QUIET = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-sync "
    "--disable-component-update --disable-default-apps --hide-scrollbars --force-color-profile=srgb"
).split()

MISSING = [path for path in (CHROMIUM, DRIVER) if not shutil.which(path)]
HOW = f"{', '.join(MISSING)} is missing: install the Debian packages chromium and chromium-driver (tests/run does)"


@contextmanager
def browser(place, script=True):
    """A browser with a profile of its own; without scripts, if asked."""
    assert not MISSING, HOW
    options = Options()
    options.binary_location = CHROMIUM
    for flag in (*QUIET, f"--user-data-dir={place}"):
        options.add_argument(flag)
    if not script:
        options.add_experimental_option("prefs", {"profile.default_content_setting_values.javascript": 2})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        driver.set_page_load_timeout(30)
        yield Pages(driver)
    finally:
        driver.quit()


class Pages:
    """What a person at the browser does and sees."""

    def __init__(self, driver):
        self.driver = driver
        self.size(DESKTOP)

    def size(self, size, dark=False):
        width, height = size
        self._command("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._command("Emulation.setEmulatedMedia", features=[scheme])

    def _command(self, name, **parameters):
        return self.driver.execute_cdp_cmd(name, parameters)

    def open(self, url):
        self.driver.get(url)
        return self

    def one(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def type(self, **fields):
        for name, text in fields.items():
            field = self.one(f"input[name={name}]")
            field.clear()
            field.send_keys(text)
        return self

    def press(self, text, of="main button, header button"):
        """Presses the button of this text, and is there when the next page is."""
        before = self.one("html")
        next(b for b in self.all(of) if b.text == text).click()
        self.left(before)
        return self

    def left(self, before):
        """Waits until a page is gone and the next one is whole."""

        def gone(_):
            try:
                before.is_enabled()
                return False
            except WebDriverException:
                return self._value("document.readyState") == "complete"

        WebDriverWait(self.driver, 20).until(gone)

    def until(self, true):
        """Waits until something is true of a page that leads on by itself."""
        WebDriverWait(self.driver, 20, ignored_exceptions=[WebDriverException]).until(lambda _: true())

    def keys(self, *keys):
        """Presses keys, wherever the focus is."""
        ActionChains(self.driver).send_keys(*keys).perform()

    def focused(self):
        """What has the focus: its name, value or text."""
        return self._value("(e => e.name && e.value ? e.name + '=' + e.value : e.name || e.innerText)(document.activeElement)")

    def _value(self, expression):
        return self._command("Runtime.evaluate", expression=expression)["result"].get("value")

    @property
    def title(self):
        return self.one("h1").text

    @property
    def text(self):
        return self.one("body").text

    @property
    def alert(self):
        return " ".join(found.text for found in self.all("[role=alert]"))

    def overflow(self):
        """Pixels by which the page is wider than the window."""
        return self._value("document.documentElement.scrollWidth - document.documentElement.clientWidth")

    def shots(self, name):
        """Pictures of the whole page: desktop and phone, light and dark."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        for where, size in (("desktop", DESKTOP), ("phone", PHONE)):
            for dark in (False, True):
                self.size(size, dark)
                assert self.overflow() <= 0, f"{name} scrolls sideways on a {where}"
                whole = self._command("Page.getLayoutMetrics")["cssContentSize"]
                clip = {**whole, "width": size[0], "scale": 1}
                shot = self._command("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
                file = SHOTS / f"{name}-{where}-{'dark' if dark else 'light'}.png"
                file.write_bytes(base64.b64decode(shot["data"]))
        self.size(DESKTOP)
