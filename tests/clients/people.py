"""People at the client, who answer what they are asked."""

import asyncio

import mcp_types as types


class Person:
    """Answers every question alike and keeps the questions."""

    def __init__(self, action, text=None, looks=None):
        self.action, self.text, self.looks = action, text, looks
        self.questions, self.seen = [], []
        self.asked = asyncio.Event()

    async def __call__(self, _context, params):
        self.questions.append(params)
        if self.looks:
            self.seen.append(self.looks())
        self.asked.set()
        if self.action == "silent":
            await asyncio.Event().wait()
        content = {"confirm": self.text} if self.action == "accept" and params.mode == "form" else None
        return types.ElicitResult(action=self.action, content=content)


def accepts(text, looks=None):
    """Sends the form with this text; `looks` is called first, and what it saw is kept in `seen`."""
    return Person("accept", text, looks)


def declines():
    return Person("decline")


def cancels():
    return Person("cancel")


def stays_silent():
    return Person("silent")


def nobody():
    """A client without elicitation."""
    return None
