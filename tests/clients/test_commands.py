"""The commands: what they print and how they exit."""

import json
import subprocess

import pytest
from lifecycle_steps import NEW
from support import BINARY, DELETE, Process, Sandbox, environment, eventually

PERSON = "taro.yamada@example.com"


def waiting(world):
    """An operation that waits for a person."""
    code, answer = world.call("deprovision_user", user=PERSON)
    assert code == 0 and answer["outcome"] == "awaiting_approval", answer
    return answer


def test_call_prints_the_structured_result_and_exits_zero(world):
    code, answer = world.call("find_user", query=PERSON)
    assert code == 0 and answer["match"] == "exact" and answer["users"][0]["email"] == PERSON
    ran = world.run("call", "tenant_status")
    assert ran.returncode == 0 and json.loads(ran.stdout)["activation"] == "ACTIVE"


def test_call_exits_one_when_the_tool_answers_an_error(world):
    code, answer = world.call("find_user", query="")
    assert code == 1 and answer["error"]["code"] == "INVALID_ARGUMENT"


@pytest.mark.parametrize("arguments", ("{", "[]", '"x"', "5", "null", '{"query":'))
def test_call_with_anything_but_an_object_is_wrong_usage(world, arguments):
    ran = world.run("call", "find_user", arguments)
    assert ran.returncode == 64 and ran.stdout == "" and ran.stderr, (ran.returncode, ran.stderr)


def test_call_of_an_unknown_tool_fails(world):
    ran = world.run("call", "delete_everything")
    assert ran.returncode in (1, 64) and "unknown tool" in ran.stdout + ran.stderr


def test_call_never_deletes(world):
    answer = waiting(world)
    assert answer["how_to_approve"]["cli"] == f"zia-mcp approve {answer['operation_id']}"
    assert world.sandbox.writes() == []


def test_call_provisions_and_remembers(world):
    code, made = world.call("provision_user", **NEW)
    assert code == 0 and made["outcome"] == "done", made
    code, later = world.call("get_operation", operation_id=made["operation_id"])
    assert code == 0 and later["outcome"] == "done"


def test_operations_are_listed_and_shown_whole(world):
    assert world.run("operations").returncode == 0
    open_one = waiting(world)["operation_id"]
    listed = world.run("operations")
    assert listed.returncode == 0 and open_one in listed.stdout and "awaiting_approval" in listed.stdout
    whole = world.run("operations", open_one)
    assert whole.returncode == 0 and PERSON in whole.stdout
    assert json.loads(whole.stdout)["operation_id"] == open_one
    for unknown in ("op_" + "0" * 32, "nonsense", "../../etc/passwd"):
        ran = world.run("operations", unknown)
        assert ran.returncode == 66 and ran.stderr, (unknown, ran.returncode, ran.stderr)


def test_captures_are_listed_and_shown(world):
    empty = world.run("captures", "list")
    assert empty.returncode == 0 and empty.stdout.strip()
    capture = waiting(world)["capture"]["id"]
    listed = world.run("captures", "list")
    assert listed.returncode == 0 and capture in listed.stdout and PERSON not in listed.stdout
    shown = world.run("captures", "show", capture)
    assert shown.returncode == 0 and json.loads(shown.stdout)["row"]["email"] == PERSON
    for unknown in ("cap_" + "0" * 32, "nonsense"):
        assert world.run("captures", "show", unknown).returncode == 66


def test_doctor_finds_nothing_wrong_with_a_sound_tenant(world):
    ran = world.run("doctor")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for check in ("settings", "host", "clock", "sign-in", "mode", "agreement", "store", "key"):
        assert check in ran.stdout.lower(), f"{check} is not checked:\n{ran.stdout}"
    assert world.sandbox.writes() == []


def test_i9_doctors_in_a_row_keep_within_zias_limits(world):
    for _ in range(3):
        assert (ran := world.run("doctor")).returncode == 0, ran.stdout
    assert not [call for call in world.sandbox.journal() if call["status"] == 429]


@pytest.mark.parametrize(
    ("fault", "word"), (("eusa_unaccepted", "agreement"), ("read_only", "mode"), ("html_page", "host")), ids=lambda v: v
)
def test_doctor_says_what_is_wrong(world, fault, word):
    world.sandbox.fault(fault)
    ran = world.run("doctor")
    assert word in ran.stdout.lower() and ("bad" in ran.stdout or "look" in ran.stdout), ran.stdout
    if fault != "read_only":
        assert ran.returncode == 69, ran.returncode
    assert "<html" not in ran.stdout.lower()


def test_doctor_tells_a_wrong_password_and_tries_it_once(world):
    world.settings["ZIA_PASSWORD"] = "not-the-password"
    ran = world.run("doctor")
    assert ran.returncode != 0 and "credentials" in ran.stdout and "not-the-password" not in ran.stdout
    assert world.sandbox.control("GET", "counters")["POST /authenticatedSession"] == 1


def test_doctor_tells_wrong_settings(world):
    del world.settings["ZIA_API_KEY"]
    ran = world.run("doctor")
    assert ran.returncode == 78 and "ZIA_API_KEY" in ran.stdout + ran.stderr


def test_the_sandboxs_settings_can_be_sourced_by_a_shell(world, tmp_path):
    lines = "\n".join(f"{name}={value}" for name, value in world.sandbox.settings.items())
    raw = world.sandbox.stdout.decode().split("\n", 1)[1]
    (tmp_path / "settings.sh").write_text(raw)
    script = ". ./settings.sh; for n in " + " ".join(world.sandbox.settings) + '; do eval "echo \\"$n=\\$$n\\""; done'
    read = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert read.stdout.strip() == lines
    assert list(world.sandbox.settings) == [
        "ZIA_BASE_URL", "ZIA_USERNAME", "ZIA_PASSWORD", "ZIA_API_KEY", "ZSCALER_TOKEN_URL", "ZSCALER_CLIENT_ID", "ZSCALER_CLIENT_SECRET",
    ]  # fmt: skip


def test_the_same_seed_makes_the_same_tenant(tmp_path):
    tenants = []
    for seed in (7, 7, 8):
        with Sandbox(tmp_path, users=80, seed=seed) as sandbox:
            tenants.append(sorted((u["id"], u["name"], u["email"]) for u in sandbox.users()))
    assert tenants[0] == tenants[1] != tenants[2] and len(tenants[0]) == 80


def test_the_sandbox_ends_on_sigterm(tmp_path):
    with Sandbox(tmp_path) as sandbox:
        assert sandbox.stop(within=5) == 0


def test_the_demo_walks_through_every_step_and_ends_well(tmp_path):
    ran = subprocess.run(
        [BINARY, "demo", "--exit"], env=environment(tmp_path), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    told = ran.stdout.lower()
    for step in ("find_user", "provision_user", "activation: active", "deprovision_user", "types: ", "restore_user", "back from the capture"):
        assert step in told, f"the demo does not tell of {step}:\n{ran.stdout}"
    assert "\x1b" not in ran.stdout, "colours without a terminal"
    assert "panicked" not in ran.stderr and "error" not in told


@pytest.mark.parametrize("decision", ("approve", "reject"))
@pytest.mark.parametrize("typed", ("", "y\nyes\n", f"{PERSON}\n000000\n"))
def test_nobody_decides_without_a_terminal(world, decision, typed):
    operation = waiting(world)["operation_id"]
    ran = world.run(decision, operation, stdin=typed, within=20)
    assert ran.returncode != 0 and ran.stderr, ran.stdout
    assert json.loads(world.run("operations", operation).stdout)["answer"]["outcome"] == "awaiting_approval"
    assert world.sandbox.writes() == []


@pytest.mark.parametrize("name", ("op_" + "0" * 32, "x", "../store.db"))
def test_deciding_on_an_operation_that_does_not_wait_is_66(world, name):
    assert world.run("approve", name, within=20).returncode == 66
    made = world.call("provision_user", **NEW)[1]["operation_id"]
    assert world.run("reject", made, within=20).returncode == 66


@pytest.mark.parametrize("arguments", ((), ("no-such-command",), ("serve", "--no-such-flag"), ("captures",), ("call",), ("sandbox", "--users", "x"), ("serve", "--behind-proxy")))
def test_wrong_usage_exits_64(tmp_path, arguments):
    ran = subprocess.run([BINARY, *arguments], env=environment(tmp_path), capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL)
    assert ran.returncode == 64 and ran.stderr, (ran.returncode, ran.stderr)


@pytest.mark.parametrize("arguments", (("--help",), ("--version",), ("serve", "--help"), ("captures", "--help")))
def test_help_goes_to_stdout_and_exits_zero(tmp_path, arguments):
    ran = subprocess.run([BINARY, *arguments], env=environment(tmp_path), capture_output=True, text=True, timeout=20)
    assert ran.returncode == 0 and ran.stdout and not ran.stderr


def test_config_state_dir_and_log_work_everywhere(world):
    other = world.place / "other"
    other.mkdir(mode=0o700)
    for command in (["operations"], ["captures", "list"], ["call", "tenant_status"], ["doctor"]):
        ran = world.run(*command, "--state-dir", str(other), "--log", "debug")
        assert ran.returncode == 0, (command, ran.stderr)
    assert any(other.iterdir()) and not any(world.state.iterdir())


async def test_what_one_process_began_another_shows(world):
    operation = waiting(world)["operation_id"]
    async with world.stdio_session("auto") as session:
        seen = await session.call("get_operation", operation_id=operation)
        assert seen.outcome == "awaiting_approval"
    assert world.sandbox.calls(DELETE) == []


def test_a_killed_server_loses_nothing_that_it_promised(world):
    with Process(["serve", "--http", "127.0.0.1:0"], world.env) as server:
        server.line()
        operation = waiting(world)["operation_id"]
        server.child.kill()
        eventually(lambda: server.child.poll() is not None)
    assert json.loads(world.run("operations", operation).stdout)["answer"]["outcome"] == "awaiting_approval"
