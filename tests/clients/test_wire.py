"""Malformed JSON-RPC over stdio: the exact code, and a connection that lives on."""

import asyncio
import json

import pytest
from lifecycle_steps import PERSON
from raw_stdio import raw_server
from support import LEGACY, MODERN

PARSE, INVALID_REQUEST, NO_METHOD, INVALID_PARAMS = -32700, -32600, -32601, -32602


def call(arguments, id="7"):
    """The text of a tools/call with raw `arguments` and a raw `id`."""
    return f'{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"find_user","arguments":{arguments}}}}}'.encode()


DELETE = f'{{"user":"{PERSON}"}}'
MALFORMED = {
    "arguments a string": (call('"x"'), INVALID_PARAMS),
    "arguments an array": (call('["x"]'), INVALID_PARAMS),
    "arguments a number": (call("5"), INVALID_PARAMS),
    "nested 10,000 deep": (call('{"query":' + "[" * 10_000 + "]" * 10_000 + "}"), INVALID_REQUEST),
    "nested 100 objects deep": (call('{"query":' + '{"a":' * 100 + "1" + "}" * 100 + "}"), INVALID_REQUEST),
    "duplicate keys": (call('{"query":"a","query":"b"}'), None),
    "NaN": (call('{"query":NaN}'), PARSE),
    "Infinity": (call('{"query":-Infinity}'), PARSE),
    "a byte order mark": (b"\xef\xbb\xbf" + call('{"query":"a"}'), PARSE),
    "UTF-16": (call('{"query":"a"}').decode().encode("utf-16-be").replace(b"\n", b""), PARSE),
    "invalid UTF-8": (call('{"query":"a"}').replace(b"a", b"\xff\xfe", 1), PARSE),
    "a lone surrogate": (call('{"query":"\\ud800"}'), INVALID_PARAMS),
    "cut off": (call('{"query":"a"}')[:-3], PARSE),
    "trailing comma": (call('{"query":"a",}'), PARSE),
    "no JSON": (b"hello", PARSE),
    "a batch": (b"[" + call('{"query":"a"}') + b"]", INVALID_REQUEST),
    "an empty batch": (b"[]", INVALID_REQUEST),
    "a string": (b'"x"', INVALID_REQUEST),
    "null": (b"null", INVALID_REQUEST),
    "a response as a request": (b'{"jsonrpc":"2.0","id":7,"method":"tools/list","result":{}}', INVALID_REQUEST),
    "result and error": (b'{"jsonrpc":"2.0","id":7,"result":{},"error":{"code":1,"message":"x"}}', INVALID_REQUEST),
    "no method": (b'{"jsonrpc":"2.0","id":7}', INVALID_REQUEST),
    "a number as method": (b'{"jsonrpc":"2.0","id":7,"method":5}', INVALID_REQUEST),
    "jsonrpc 1.0": (b'{"jsonrpc":"1.0","id":7,"method":"tools/list"}', INVALID_REQUEST),
    "no jsonrpc": (b'{"id":7,"method":"tools/list"}', INVALID_REQUEST),
    "id null": (call('{"query":"a"}', "null"), INVALID_REQUEST),
    "id a float": (call('{"query":"a"}', "1.5"), INVALID_REQUEST),
    "id 2^70": (call('{"query":"a"}', str(2**70)), INVALID_REQUEST),
    "id an object": (call('{"query":"a"}', "{}"), INVALID_REQUEST),
    "a request as notification": (b'{"jsonrpc":"2.0","method":"tools/call","params":{"name":"deprovision_user","arguments":' + DELETE.encode() + b"}}", INVALID_REQUEST),
    "params an array": (b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":[]}', INVALID_PARAMS),
    "name a number": (b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":5}}', INVALID_PARAMS),
    "a state that is a number": (b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"tenant_status","requestState":5}}', INVALID_PARAMS),
    "answers that are a number": (b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"tenant_status","inputResponses":5}}', INVALID_PARAMS),
    "a completion of nothing": (b'{"jsonrpc":"2.0","id":7,"method":"completion/complete","params":{}}', INVALID_PARAMS),
    "an unknown method": (b'{"jsonrpc":"2.0","id":7,"method":"x/jane.doe@example.com"}', NO_METHOD),
    "no name": (b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{}}', INVALID_PARAMS),
}  # fmt: skip


@pytest.mark.parametrize("name", MALFORMED)
async def test_malformed_messages_get_their_code_and_end_nothing(world, name):
    line, code = MALFORMED[name]
    async with raw_server(world, LEGACY) as server:
        await server.send(line)
        if code is None:  # a code of the protocol or INVALID_ARGUMENT: either says that it was not carried out
            answer = await server.answer_to(lambda m: m.get("id") == 7 or "error" in m)
            said = answer.get("error") or answer["result"]["structuredContent"]["error"]
            assert said["code"] in (PARSE, INVALID_REQUEST, INVALID_PARAMS, "INVALID_ARGUMENT"), answer
        else:
            answer = await server.answer_to(lambda m: "error" in m)
            assert answer["error"]["code"] == code, answer
            assert len(answer["error"]["message"]) < 200 and "jane" not in json.dumps(answer), answer
        assert await server.lives()
    assert world.sandbox.writes() == []


async def test_an_id_in_flight_is_not_taken_twice(world):
    world.sandbox.fault("delay", ms=1500, endpoint="GET /users/{id}")
    async with raw_server(world, LEGACY) as server:
        await server.send(call('{"query":165000003}', "77"))
        await server.send(call('{"query":165000004}', "77"))
        first = await server.answer_to(lambda m: m.get("id") == 77)
        second = await server.answer_to(lambda m: m.get("id") == 77)
        assert first["error"]["code"] == INVALID_REQUEST, first
        assert second["result"]["structuredContent"]["match"] == "exact", second
        assert await server.lives()


async def test_missing_arguments_are_like_none_given(world):
    async with raw_server(world, LEGACY) as server:
        answer = await server.ask("tools/call", {"name": "find_user"})
        assert answer["result"]["structuredContent"]["error"]["field"] == "query", answer


@pytest.mark.parametrize("mode", (LEGACY, MODERN))
async def test_t2_meta_approves_nothing(world, mode):
    async with raw_server(world, mode) as server:
        for meta in ({"approved": True}, {"confirm": PERSON}, {"io.modelcontextprotocol/approved": True}):
            answer = await server.call("deprovision_user", {"user": PERSON}, meta=meta)
            assert answer["result"]["structuredContent"]["outcome"] == "awaiting_approval", answer
    assert world.sandbox.writes() == []


async def test_t3_an_answer_nobody_asked_for_approves_nothing(world):
    async with raw_server(world, LEGACY, {"elicitation": {}}) as server:
        answer = {"action": "accept", "content": {"confirm": PERSON}}
        for id in (0, 1, "0", 99):
            await server.send({"jsonrpc": "2.0", "id": id, "result": answer})
        asking = asyncio.create_task(server.call("deprovision_user", {"user": PERSON}))
        asked = await server.answer_to(lambda m: m.get("method") == "elicitation/create")
        assert world.sandbox.deletes() == []
        await server.send({"jsonrpc": "2.0", "id": asked["id"], "result": {"action": "decline"}})
        assert (await asking)["result"]["structuredContent"]["outcome"] == "declined"
        await server.send({"jsonrpc": "2.0", "id": asked["id"], "result": answer})
        assert await server.lives()
    assert world.sandbox.deletes() == []


async def test_stdout_carries_protocol_only(world):
    async with raw_server(world, LEGACY, log="trace") as server:
        await server.call("find_user", {"query": PERSON})
        await server.call("find_user", {"query": ""})
        lines = bytes(server.stdout).splitlines()
    assert len(lines) == 3 and all(json.loads(line)["jsonrpc"] == "2.0" for line in lines)
    assert server.stderr, "nothing was logged at trace level"


async def test_the_end_of_the_input_ends_the_server(world):
    async with raw_server(world, LEGACY) as server:
        assert await server.lives()
        server.child.stdin.close()
        assert await asyncio.wait_for(server.child.wait(), 5) == 0
