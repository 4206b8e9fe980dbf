"""Takes the pictures of the README from the running binary. By hand, after a change of the pages:

target/test-venv/bin/python tests/clients/pictures.py
"""

import asyncio
import base64
import html
import re
import tempfile
from pathlib import Path

from browser import browser
from support import ROOT, Sandbox, World
from terminal import Approver, Screen

PLACE = ROOT / ".readme"
WIDTH = 880
USERS = ("alex.kim@example.com", "farid.petrov@example.com", "zoe.nunez@example.com")
TERMINAL = """<!doctype html><meta charset="utf-8"><style>
body { margin: 0; background: #12161d; color: #e6eaf0; font: 14px/1.5 "DejaVu Sans Mono", monospace }
pre { margin: 0; padding: 20px; white-space: pre-wrap; overflow-wrap: anywhere; font: inherit }
b { color: #78b7ff; font-weight: 400 }</style><pre>"""


def save(pages, name, width=WIDTH):
    pages.size((width, 400))
    whole = pages._command("Page.getLayoutMetrics")["cssContentSize"]
    clip = {**whole, "width": width, "scale": 1}
    shot = pages._command("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
    PLACE.mkdir(exist_ok=True)
    (PLACE / f"{name}.png").write_bytes(base64.b64decode(shot["data"]))


def at_the_terminal(world, olga, operation):
    """What `zia-mcp approve` shows, with what the person types."""
    screen, code = Screen(world, "approve", operation, columns=110), olga.code()
    shown = ""
    for asks, answer in (("Type the number:", str(len(USERS))), ("One-time code", code)):
        shown += screen.until(asks) + asks
        screen.types(answer)
    _, rest = screen.ends()
    return shown + rest


async def ask(world, server, **arguments):
    async with world.http_session(server.url, "auto") as session:
        tool = "deprovision_users" if "users" in arguments else "deprovision_user"
        return await session.call(tool, **arguments)


async def take(world, pages):
    olga = Approver(world, "olga.ivanova")
    with world.http() as server:
        several = await ask(world, server, users=list(USERS), reason="the Berlin office closes")
        text = at_the_terminal(world, olga, several["operation_id"])
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "").strip()
        page = world.place / "terminal.html"
        page.write_text(f"{TERMINAL}<b>$ zia-mcp approve {several['operation_id']}</b>\n{html.escape(text)}</pre>")
        save(pages.open(page.as_uri()), "approve-terminal", 960)
        one = await ask(world, server, user="grace.manygroups@example.com", reason="left the company, ticket 4711")
        pages.open(one["how_to_approve"]["page"]).type(approver=olga.name, code=olga.code()).press("Show the operation")
        save(pages, "approve-page")


with tempfile.TemporaryDirectory() as place, Sandbox(place) as sandbox, browser(Path(place) / "chromium") as pages:
    asyncio.run(take(World(Path(place), sandbox), pages))
