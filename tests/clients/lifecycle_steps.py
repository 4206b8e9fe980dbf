"""The steps of a user's life that several tests go through."""

from support import ACTIVATE, CREATE, DELETE, STATUS

NEW = {"name": "Jane Doe", "email": "jane.doe@example.com", "department": "Engineering", "groups": ["Sales", "Finance"]}
PERSON = "taro.yamada@example.com"


async def provision(session, **changes):
    """Provisions the new user and expects it done and live."""
    made = await session.call("provision_user", **{**NEW, **changes})
    assert made.outcome == "done", made
    assert made["activation"] == {"state": "active"}, made
    return made


def assert_created_then_active(sandbox):
    """One POST, then an activation, then a read of the status."""
    calls = sandbox.calls(CREATE, ACTIVATE, STATUS)
    names = [c["endpoint"] for c in calls]
    assert names.count(CREATE) == 1, names
    after = names[names.index(CREATE) + 1 :]
    assert ACTIVATE in after and STATUS in after[after.index(ACTIVATE) :], names


def assert_deleted_then_active(sandbox):
    """Exactly one DELETE that was applied, then an activation, then a read of the status."""
    calls = sandbox.calls(DELETE, ACTIVATE, STATUS, "POST /users/bulkDelete")
    names = [c["endpoint"] for c in calls]
    assert names.count(DELETE) == 1 and "POST /users/bulkDelete" not in names, names
    at = names.index(DELETE)
    assert calls[at]["applied"], calls[at]
    after = names[at + 1 :]
    assert after.count(ACTIVATE) == 1, names
    assert STATUS in after[after.index(ACTIVATE) :], names
