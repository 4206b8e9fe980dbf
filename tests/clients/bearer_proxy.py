"""Forwards HTTP to a server that wants a bearer token, adding the token to each request.

usage: bearer_proxy.py http://127.0.0.1:PORT < TOKEN

For test suites that cannot send one. A Host or Origin that names the proxy names the server
instead; any other goes through as it came, so the server's own checks see it. Each connection
carries one request, which keeps adding a header simple; answers stream through byte for byte.
The first line on stdout is the proxy's own URL.
"""

import asyncio
import sys

HEAD = 64 * 1024


def with_token(head, token, here, there):
    """A request head with our token, without keep-alive, at the server's address."""
    first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    ours = (b"authorization:", b"connection:", b"keep-alive:")
    kept = [line for line in lines if not line.lower().startswith(ours)]
    kept = [there.join(line.rsplit(here, 1)) if names(line, here) else line for line in kept]
    return b"\r\n".join([first, *kept, b"Authorization: Bearer " + token, b"Connection: close", b"", b""])


def names(line, here):
    """Whether a header line is a Host or Origin that names exactly this address."""
    name, _, value = line.partition(b":")
    value = value.strip()
    return (name.lower() == b"host" and value == here) or (name.lower() == b"origin" and value == b"http://" + here)


async def copy(reader, writer):
    """Passes bytes on as they come, until their end."""
    try:
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except (ConnectionError, OSError):
        pass


async def serve_one(client, answer, there, token):
    """One request and its answer; the client's going ends both."""
    upstream = None
    try:
        head = await client.readuntil(b"\r\n\r\n")
        server, upstream = await asyncio.open_connection(*there)
        here = "{}:{}".format(*answer.get_extra_info("sockname")).encode()
        upstream.write(with_token(head, token, here, "{}:{}".format(*there).encode()))
        await upstream.drain()
        sending = asyncio.create_task(copy(client, upstream))
        await copy(server, answer)
        sending.cancel()
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, OSError):
        pass
    finally:
        for writer in (upstream, answer):
            if writer:
                writer.close()


async def main(url, token):
    host, port = url.removeprefix("http://").rstrip("/").split(":")

    async def accept(reader, writer):
        await serve_one(reader, writer, (host, int(port)), token)

    proxy = await asyncio.start_server(accept, "127.0.0.1", 0, limit=HEAD)
    print(f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}", flush=True)
    await proxy.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1], sys.stdin.readline().strip().encode()))
    except KeyboardInterrupt:
        pass
