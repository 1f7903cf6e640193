"""A headless Chromium for tests, spoken to in its own protocol; skips where none is installed."""

import asyncio
import itertools
import json
import shutil
import subprocess
import time
from contextlib import contextmanager

import pytest
from tornado.websocket import websocket_connect

HEADLESS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_COMPLAINTS = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")


class Browser:
    """One page of a browser."""

    def __init__(self, loop, socket):
        self.loop, self.socket, self.numbers = loop, socket, itertools.count(1)
        self.events, self.session = [], None
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        found = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self.session = found["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method, **parameters):
        """What the browser answers to a command."""
        return self.loop.run_until_complete(asyncio.wait_for(self._send(method, parameters), 60))

    async def _send(self, method, parameters):
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": parameters}
        message |= {} if self.session is None else {"sessionId": self.session}
        await self.socket.write_message(json.dumps(message))
        while True:
            found = json.loads(await self.socket.read_message())
            if found.get("id") == number:
                assert "error" not in found, found
                return found["result"]
            self.events.append(found)

    def open(self, file, *, width, height, dark=False):
        """Show a file in a window of this size."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.send("Emulation.setDeviceMetricsOverride", **size)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.send("Emulation.setEmulatedMedia", features=scheme)
        self.events.clear()
        self.send("Page.navigate", url=file.as_uri())
        end = time.monotonic() + 60
        ready = "document.readyState == 'complete' && location.href != 'about:blank'"
        while not self.run(ready):
            assert time.monotonic() < end
            time.sleep(0.05)

    def run(self, script):
        """The value of an expression of JavaScript on the page."""
        found = self.send("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def press(self, key, code=0):
        """A key, down and up."""
        text = {"Enter": "\r", " ": " "}.get(key, "")
        for kind in ("keyDown", "keyUp"):
            more = {"text": text} if text and kind == "keyDown" else {}
            more |= {"key": key, "windowsVirtualKeyCode": code}
            self.send("Input.dispatchKeyEvent", type=kind, **more)

    def write(self, text):
        """Text into what has the focus."""
        self.send("Input.insertText", text=text)

    def complaints(self):
        """What went to the console, and what was asked of a network."""
        self.run("0")
        told = [e for e in self.events if e["method"] in _COMPLAINTS]
        asked = [
            e["params"]["request"]["url"]
            for e in self.events
            if e["method"] == "Network.requestWillBeSent"
        ]
        return told + [url for url in asked if not url.startswith(("file:", "data:"))]


def chromium():
    """The program; skips where there is none."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("chromium is not installed")
    return program


@contextmanager
def opened_browser(folder):
    """A browser that ends with the block."""
    profile = folder / "profile"
    process = subprocess.Popen(
        [chromium(), *HEADLESS, "--remote-debugging-port=0", f"--user-data-dir={profile}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    loop = asyncio.new_event_loop()
    try:
        port, end = profile / "DevToolsActivePort", time.monotonic() + 60
        while not port.exists() or port.read_text().count("\n") < 1:
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        number, path = port.read_text().split("\n")[:2]
        socket = loop.run_until_complete(_connected(f"ws://127.0.0.1:{number}{path}"))
        yield Browser(loop, socket)
        loop.run_until_complete(_closed(socket))
    finally:
        process.terminate()
        process.wait(30)
        loop.close()


async def _connected(place):
    return await websocket_connect(place, max_message_size=2**27)


async def _closed(socket):
    # within the loop: another test may have left the thread without one
    socket.close()
