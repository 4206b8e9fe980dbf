"""Forwards HTTP to a server that wants a bearer token, adding the token to each request.

usage: bearer_proxy.py http://127.0.0.1:PORT < TOKEN

For test suites that cannot send one. Host and Origin go through as they came, so the server's own
checks see what the client sent. Each connection carries one request, which keeps adding a header
simple; answers stream through byte for byte. The first line on stdout is its own URL.
"""

import asyncio
import sys

HEAD = 64 * 1024


def with_token(head, token):
    """A request head with our token and without keep-alive."""
    first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    ours = (b"authorization:", b"connection:", b"keep-alive:")
    kept = [line for line in lines if not line.lower().startswith(ours)]
    return b"\r\n".join([first, *kept, b"Authorization: Bearer " + token, b"Connection: close", b"", b""])


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


async def serve_one(client, answer, host, port, token):
    """One request and its answer; the client's going ends both."""
    upstream = None
    try:
        head = await client.readuntil(b"\r\n\r\n")
        server, upstream = await asyncio.open_connection(host, port)
        upstream.write(with_token(head, token))
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
        await serve_one(reader, writer, host, int(port), token)

    proxy = await asyncio.start_server(accept, "127.0.0.1", 0, limit=HEAD)
    print(f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}", flush=True)
    await proxy.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1], sys.stdin.readline().strip().encode()))
    except KeyboardInterrupt:
        pass
