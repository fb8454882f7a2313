"""A real browser for tests: Debian's headless Chromium, driven through its DevTools protocol."""

import asyncio
import base64
import contextlib
import itertools
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

WAIT_S = 500
"""For anything that a page does: a busy machine has little time for a browser."""


class Page:
    """One open page; `errors` fills with what its console says and what it throws."""

    def __init__(self, send: Any) -> None:
        self.errors: list[str] = []
        self._send = send

    async def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One of the protocol's methods; its result."""
        return dict(await self._send(method, parameters))

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, awaited if it is a promise."""
        done = await self.command(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    async def wait_for(self, condition: str) -> None:
        """Until a JavaScript expression is true."""
        async with asyncio.timeout(WAIT_S):
            while not await self.evaluate(condition):
                await asyncio.sleep(0.2)

    async def resize(self, width: int, height: int, *, phone: bool = False) -> None:
        """The size of the window, in CSS pixels."""
        await self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=phone,
        )  # fmt: skip

    async def theme(self, name: str) -> None:
        """What the page is told of the system's theme: light or dark."""
        feature = {"name": "prefers-color-scheme", "value": name}
        await self.command("Emulation.setEmulatedMedia", features=[feature])

    async def screenshot(self, path: Path, height: int | None = None) -> None:
        """The whole page, or its first `height` pixels, as PNG."""
        size = (await self.command("Page.getLayoutMetrics"))["cssContentSize"]
        clip = {"x": 0, "y": 0, "scale": 1, "width": size["width"]}
        clip["height"] = min(height or size["height"], size["height"])
        shot = await self.command("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(shot["data"]))

    def hear(self, method: str, event: dict[str, Any]) -> None:
        """Notes an event that tells of something wrong."""
        if method == "Runtime.exceptionThrown":
            self.errors.append(str(event["exceptionDetails"]))
        elif method == "Log.entryAdded" and event["entry"]["level"] == "error":
            self.errors.append(f"{event['entry']['text']} {event['entry'].get('url', '')}")
        elif method == "Runtime.consoleAPICalled" and event["type"] in ("error", "warning"):
            self.errors.append(str([each.get("value") for each in event["args"]]))


@asynccontextmanager
async def opened(
    place: Path | str, folder: Path, width: int = 1280, height: int = 900
) -> AsyncIterator[Page]:
    """The page of a file, or at a URL, while it loads; `folder` takes the browser's profile."""
    process = subprocess.Popen(
        [_program(), "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
         "--enable-unsafe-swiftshader", "--no-first-run", "--disable-background-networking",
         "--disable-extensions", "--disable-dev-shm-usage",
         "--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        address = await _address(folder / "DevToolsActivePort")
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(address, max_msg_size=0) as socket,
            _attached(socket) as page,
        ):
            await page.resize(width, height)
            url = place if isinstance(place, str) else place.resolve().as_uri()
            await page.command("Page.navigate", url=url)
            yield page
    finally:
        process.terminate()
        process.wait()


def _program() -> str:
    found = shutil.which("chromium")
    assert found, "these tests need a browser: apt-get install chromium"
    return found


async def _address(file: Path) -> str:
    async with asyncio.timeout(WAIT_S):
        while not (file.exists() and file.read_text(encoding="utf-8").count("\n") >= 1):
            await asyncio.sleep(0.2)
    port, path = file.read_text(encoding="utf-8").splitlines()
    return f"ws://127.0.0.1:{port}{path}"


@asynccontextmanager
async def _attached(socket: aiohttp.ClientWebSocketResponse) -> AsyncIterator[Page]:
    """A fresh page over the browser's socket."""
    numbers, waiting = itertools.count(1), dict[int, asyncio.Future[dict[str, Any]]]()
    session: dict[str, str] = {}

    async def send(method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        number = next(numbers)
        waiting[number] = asyncio.get_running_loop().create_future()
        await socket.send_json({"id": number, "method": method, "params": parameters} | session)
        async with asyncio.timeout(WAIT_S):
            return await waiting[number]

    page = Page(send)

    async def receive() -> None:
        async for message in socket:
            value = message.json()
            if "id" not in value:
                page.hear(value["method"], value["params"])
            elif "error" in value:
                waiting[value["id"]].set_exception(RuntimeError(str(value["error"])))
            else:
                waiting[value["id"]].set_result(value["result"])

    listening = asyncio.create_task(receive())
    try:
        target = await send("Target.createTarget", {"url": "about:blank"})
        attached = await send("Target.attachToTarget", {**target, "flatten": True})
        session["sessionId"] = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            await page.command(f"{domain}.enable")
        yield page
    finally:
        listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await listening


DRAWN = """document.body?.dataset.drawn === "all"
  || document.getElementById("trouble")?.hidden === false"""
"""That a page has drawn its figures, or told why it can't."""
