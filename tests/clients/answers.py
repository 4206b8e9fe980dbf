"""What the tools answer, each answer held against the tool's own output schema."""

import json

import mcp_types as types
from jsonschema import Draft202012Validator
from mcp.shared.exceptions import MCPError

CODES = {
    "INVALID_ARGUMENT", "NOT_FOUND", "AMBIGUOUS", "ALREADY_EXISTS", "PROTECTED", "LIMIT_EXCEEDED", "CONFLICT",
    "RATE_LIMITED", "SIGN_IN_FAILED", "TENANT_READ_ONLY", "EDIT_LOCKED", "UPSTREAM", "STORE_UNAVAILABLE",
    "AUDIT_UNAVAILABLE", "FORBIDDEN",
}  # fmt: skip
OUTCOMES = {
    "done", "applied_not_active", "already_done", "planned", "awaiting_approval", "in_progress", "declined", "expired",
    "changed", "unknown", "failed", "partial",
}  # fmt: skip


class Answer:
    """One tool result: what it says, as the wire had it."""

    def __init__(self, result):
        self.result = result
        self.structured = result.structured_content
        self.is_error = bool(result.is_error)

    @property
    def error(self):
        assert self.is_error, f"not an error: {self.structured}"
        return self.structured["error"]

    @property
    def outcome(self):
        assert not self.is_error, f"an error: {self.structured}"
        return self.structured["outcome"]

    def __getitem__(self, name):
        assert not self.is_error, f"an error: {self.structured}"
        return self.structured[name]

    def get(self, name, default=None):
        return self.structured.get(name, default)

    def __repr__(self):
        return f"Answer({json.dumps(self.structured, ensure_ascii=False)})"


def check_shape(structured, texts, is_error, schema, tool):
    """Holds one result against the contract: schema, text copy, codes and outcomes."""
    problems = [f"{tool}: {e.json_path}: {e.message}" for e in Draft202012Validator(schema).iter_errors(structured)]
    assert not problems, "\n".join(problems)
    assert len(texts) == 1 and json.loads(texts[0]) == structured, f"{tool}: the text is not the structured content"
    if is_error:
        error = structured["error"]
        assert set(structured) == {"error"} and error["code"] in CODES, structured
        known = {"code", "message", "next", "retryable", "retry_at", "field", "candidates", "operation_id"}
        assert set(error) <= known and error["message"] and error["next"], error
        assert len(error.get("candidates", [])) <= 10, error
    elif "outcome" in structured:
        assert structured["outcome"] in OUTCOMES, structured
        assert structured["activation"]["state"] in {"active", "pending", "queued", "failed", "not_needed"}, structured


class Session:
    """A connected client whose every tool result is checked."""

    def __init__(self, client):
        self.client = client
        self.schemas = None

    async def tools(self):
        listed = await self.client.list_tools()
        assert listed.next_cursor is None
        return {tool.name: tool for tool in listed.tools}

    async def check(self, tool, result):
        if self.schemas is None:
            self.schemas = {name: t.output_schema for name, t in (await self.tools()).items()}
        texts = [block.text for block in result.content if isinstance(block, types.TextContent)]
        check_shape(result.structured_content, texts, bool(result.is_error), self.schemas[tool], tool)
        return Answer(result)

    async def call(self, tool, /, *, progress=None, **arguments):
        """Calls a tool, answering its questions with the client's person."""
        return await self.check(tool, await self.client.call_tool(tool, arguments, progress_callback=progress))

    async def once(self, tool, arguments, state=None, answers=None):
        """One round of a 2026-07-28 call: an `Answer`, or the question itself."""
        result = await self.client.session.call_tool(
            tool, arguments, request_state=state, input_responses=answers, allow_input_required=True
        )
        if isinstance(result, types.InputRequiredResult):
            return result
        return await self.check(tool, result)

    async def refused(self, tool, arguments, state=None, answers=None):
        """One round that has to end in a JSON-RPC error; the error."""
        try:
            got = await self.once(tool, arguments, state, answers)
        except MCPError as error:
            return error
        raise AssertionError(f"{tool} was not refused: {got}")

    async def read(self, uri):
        """A resource's JSON."""
        result = await self.client.read_resource(uri, cache_mode="bypass")
        assert [c.mime_type for c in result.contents] == ["application/json"], result
        return json.loads(result.contents[0].text)

    async def is_usable(self):
        """Whether the connection still answers."""
        return "find_user" in await self.tools()
