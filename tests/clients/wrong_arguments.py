"""Arguments that are refused, as rows: what is called, the code, the field."""

from lifecycle_steps import NEW

PERSON = "taro.yamada@example.com"
INVALID = "INVALID_ARGUMENT"


def new(**changes):
    merged = {**NEW, **changes}
    return {name: value for name, value in merged.items() if value is not ...}


def rows():
    """`id, tool, arguments, code, field` for each."""
    delete = "deprovision_user"
    for bad in ("*", "all", "1 OR 1=1", "1;DROP", "../5", "5/../../adminUsers/1", "5%2f..", "", " ", "0", "-1", 0, -1, 2**63,
                2**70, 1.5, True, [], [PERSON], {"id": 5}, "9" * 40, "a" * 4096, PERSON + "\r\nHost: x", "x@y@example.com",
                "taro.yamada", "%74aro@example.com?", "＊", "5\u0000"):
        yield f"B5 {delete} {str(bad)[:24]!a}", delete, {"user": bad}, INVALID, "user"
    yield "B5 find by nothing", "find_user", {}, INVALID, "query"
    yield "B6 delete by filter", delete, {"query": "Engineering"}, INVALID, "query"
    for key in ("confirm", "confirmed", "confirmation_token", "approve", "approved", "force", "kwargs", "password", "yes"):
        yield f"B7 {delete} {key}", delete, {"user": PERSON, key: True}, INVALID, key
        yield f"B7 provision_user {key}", "provision_user", new(**{key: "x"}), INVALID, key
        yield f"B7 activate {key}", "activate", {key: True}, INVALID, key
    yield "B7 deprovision dry_run", delete, {"user": PERSON, "dry_run": False}, INVALID, "dry_run"
    for field in ("name", "email", "groups"):
        yield f"B15 without {field}", "provision_user", new(**{field: ...}), INVALID, field
    for what, name in (("128 characters", "x" * 128), ("empty", ""), ("blank", "   "), ("NUL", "a\u0000b"), ("RLO", "a\u202eb"),
                       ("zero width", "a\u200bb"), ("newline", "a\nb"), ("escape", "\u001b[2Jx"), ("a number", 5)):
        yield f"B16 name: {what}", "provision_user", new(name=name), INVALID, "name"
    for email in ("a@b", "x@y@example.com", "@example.com", "jane", "", "j" * 250 + "@example.com", "jane@example.com\r\n", "ja ne@example.com",
                  "jane@example.com\u0000", "jane@exam\u202eple.com", "jane@.com", ["jane@example.com"]):
        yield f"B17 {str(email)[:30]!a}", "provision_user", new(email=email), INVALID, "email"
    yield "B19 unknown group id", "provision_user", new(groups=["999999"]), "NOT_FOUND", "groups"
    yield "B19 unknown group", "provision_user", new(groups=["No Such Group"]), "NOT_FOUND", "groups"
    yield "B19 unknown department", "provision_user", new(department="Nowhere"), "NOT_FOUND", "department"
    yield "B19 ambiguous group", "provision_user", new(groups=["Contractors"]), "AMBIGUOUS", "groups"
    yield "B19 a thousand groups", "provision_user", new(groups=[str(n) for n in range(1000)]), "LIMIT_EXCEEDED", "groups"
    yield "B19 no groups", "provision_user", new(groups=[]), INVALID, "groups"
    yield "B19 groups as text", "provision_user", new(groups="Sales"), INVALID, "groups"
    yield "B19 groups of objects", "provision_user", new(groups=[{"id": 1}]), INVALID, "groups"
    yield "B21 type", "provision_user", new(type="SUPERADMIN"), "PROTECTED", "type"
    yield "B21 adminUser", "provision_user", new(adminUser=True), "PROTECTED", "adminUser"
    update = "update_user"
    yield f"B15 {update} without a user", update, {"name": "x"}, INVALID, "user"
    yield f"B22 {update} email", update, {"user": PERSON, "email": "new@example.com"}, INVALID, "email"
    yield f"B20 {update} password", update, {"user": PERSON, "password": "x"}, INVALID, "password"
    yield f"B21 {update} adminUser", update, {"user": PERSON, "adminUser": True}, "PROTECTED", "adminUser"
    yield f"B21 {update} type", update, {"user": PERSON, "type": "ADMIN"}, "PROTECTED", "type"
    yield f"B5 {update} by name", update, {"user": "Alex Kim", "name": "x"}, INVALID, "user"
    yield f"B16 {update} name", update, {"user": PERSON, "name": "a\u202eb"}, INVALID, "name"
    yield f"B19 {update} groups as text", update, {"user": PERSON, "add_groups": "Sales"}, INVALID, "add_groups"
    yield f"B19 {update} ambiguous group", update, {"user": PERSON, "add_groups": ["Contractors"]}, "AMBIGUOUS", "add_groups"
    yield f"B19 {update} unknown group", update, {"user": PERSON, "remove_groups": ["Nowhere"]}, "NOT_FOUND", "remove_groups"
    yield f"B19 {update} empty department", update, {"user": PERSON, "department": ""}, INVALID, "department"
    yield f"B8 {update} an administrator", update, {"user": "admin@example.com", "name": "x"}, "PROTECTED", "user"
    for asked in ("", "x", "cap_1", "../cap", "*", 5, ["cap_" + "0" * 32]):
        yield f"B29 restore {asked!r}", "restore_user", {"capture": asked}, INVALID, "capture"
    for asked in ("cap_" + "0" * 32, PERSON, "nobody@example.com"):
        yield f"B29 restore {asked[:12]}", "restore_user", {"capture": asked}, "NOT_FOUND", "capture"
    yield "B7 restore with a password", "restore_user", {"capture": PERSON, "password": "x"}, INVALID, "password"
    several = "deprovision_users"
    yield f"B1 {several} nobody", several, {"users": []}, INVALID, "users"
    yield f"B1 {several} without a list", several, {}, INVALID, "users"
    yield f"B2 {several} 501", several, {"users": list(range(1, 502))}, "LIMIT_EXCEEDED", "users"
    yield f"B3 {several} twice", several, {"users": [PERSON, PERSON.upper()]}, INVALID, "users"
    for bad in ("*", "all", "1 OR 1=1", "1;DROP", "../5", "5/../../adminUsers/1", "5%2f..", "", 0, -1, 2**63, 1.5, None, [PERSON], {"id": 5}):
        yield f"B5 {several} {str(bad)[:24]!a}", several, {"users": [PERSON, bad]}, INVALID, "users"
    yield f"B5 {several} text", several, {"users": PERSON}, INVALID, "users"
    yield f"B6 {several} by filter", several, {"query": "Engineering"}, INVALID, "query"
    for key in ("confirm", "force", "approved", "confirmation_token", "dry_run", "password", "count"):
        yield f"B7 {several} {key}", several, {"users": [PERSON], key: True}, INVALID, key
    yield f"B8 {several} with an administrator", several, {"users": [PERSON, "admin@example.com"]}, "PROTECTED", "users"
    yield f"B36 {several} reason", several, {"users": [PERSON], "reason": "x" * 501}, INVALID, "reason"
    yield "long comments", "provision_user", new(comments="x" * 10_241), INVALID, "comments"
    yield "dry_run as text", "provision_user", new(dry_run="yes"), INVALID, "dry_run"
    for limit in (0, -1, 101, 5000, 2**40, 1.5, "10", True):
        yield f"B25 limit {limit!r}", "find_user", {"query": "alex", "limit": limit}, INVALID, "limit"
        yield f"B25 groups limit {limit!r}", "list_groups", {"limit": limit}, INVALID, "limit"
    for cursor in ("junk", "", "AAAA", "x" * 10_000, 5):
        yield f"B25 cursor {str(cursor)[:8]!r}", "find_user", {"query": "alex", "cursor": cursor}, INVALID, "cursor"
        yield f"B25 departments cursor {str(cursor)[:8]!r}", "list_departments", {"cursor": cursor}, INVALID, "cursor"
    for query in ("", "   ", "x" * 10_240, 1.5, [], {"name": "x"}):
        yield f"B26 {str(query)[:10]!r}", "find_user", {"query": query}, INVALID, "query"
    yield "B26 a long group query", "list_groups", {"query": "x" * 10_240}, INVALID, "query"
    yield "find with an unknown field", "find_user", {"query": "alex", "regex": "a.*"}, INVALID, "regex"
    yield "find in an unknown group", "find_user", {"query": "alex", "group": "No Such Group"}, "NOT_FOUND", "group"
    yield "status with an argument", "tenant_status", {"verbose": True}, INVALID, "verbose"
    for wait in (46, -1, 2**40, "5", 1.5):
        yield f"wait_seconds {wait!r}", "get_operation", {"operation_id": "op_" + "0" * 32, "wait_seconds": wait}, INVALID, "wait_seconds"
    for unknown in ("op_" + "0" * 32, "op_x", "../op", "1", "x" * 5000):
        yield f"B30 {unknown[:8]!r}", "get_operation", {"operation_id": unknown}, "NOT_FOUND", "operation_id"
    yield "operation_id a number", "get_operation", {"operation_id": 5}, INVALID, "operation_id"
    yield "operation_id missing", "get_operation", {}, INVALID, "operation_id"
    for reason in ("x" * 501, "x" * 2**19, 5, ["x"]):
        yield f"B36 {str(reason)[:6]!r}", delete, {"user": PERSON, "reason": reason}, INVALID, "reason"
