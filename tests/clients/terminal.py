"""A person at a pseudo-terminal, and their authenticator app."""

import re
import time

import pexpect
import pyotp
from support import BINARY


class Screen:
    """A command at a terminal of its own."""

    def __init__(self, world, *arguments, columns=200):
        self.child = pexpect.spawn(BINARY, list(arguments), env=world.env, encoding="utf-8", timeout=20, dimensions=(60, columns))

    def until(self, text):
        """What is shown up to this text."""
        self.child.expect_exact(text)
        return self.child.before

    def types(self, text):
        self.child.sendline(text)

    def ends(self):
        """The exit code, and what was shown last."""
        self.child.expect(pexpect.EOF)
        self.child.close()
        return self.child.exitstatus, self.child.before


class Approver:
    """Somebody who was enrolled, with the secret in their app."""

    def __init__(self, world, name):
        self.world, self.name = world, name
        screen = Screen(world, "approver", "add", name)
        code, self.shown = screen.ends()
        assert code == 0, self.shown
        self.uri = re.search(r"otpauth://\S+", self.shown)[0]
        self.app, self._steps = pyotp.parse_uri(self.uri), iter((-1, 0, 1, 2))

    def code(self):
        """A code that was not used yet: a clock may be off by two steps."""
        return self.at(next(self._steps))

    def at(self, step):
        """The code of a time step of 30 s, counted from now."""
        return self.app.at(int(time.time()) + 30 * step)

    def wrong(self):
        return str((int(self.app.now()) + 1) % 1_000_000).zfill(6)

    def decides(self, decision, operation, code=None, count=None, name=None):
        """Goes through the command's questions; the exit code and all that was shown."""
        screen = Screen(self.world, decision, operation)
        seen = ""
        for asks, answer in (("Type the number:", count), ("Your name as an approver:", name), ("One-time code", code or self.code())):
            if answer is not None:
                seen += screen.until(asks)
                screen.types(str(answer))
        code, rest = screen.ends()
        return code, seen + rest
