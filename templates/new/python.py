"""An echo server for ioduel: asyncio, or uvloop where --uvloop is given; a task for each connection."""

import argparse
import asyncio


async def serve(reader, writer, message_bytes):
    """Answers each message with "Re:" and the message, until the peer closes. asyncio sets TCP_NODELAY by itself."""
    try:
        while True:
            message = await reader.readexactly(message_bytes)
            writer.write(b"Re:" + message)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main(arguments):
    host, port = arguments.listen.rsplit(":", 1)

    async def accepted(reader, writer):
        await serve(reader, writer, arguments.message_bytes)

    server = await asyncio.start_server(accepted, host, int(port), backlog=4096)
    await server.serve_forever()


parser = argparse.ArgumentParser()
parser.add_argument("--listen", default="127.0.0.1:31400")
parser.add_argument("--message-bytes", type=int, default=16)
parser.add_argument("--uvloop", action="store_true")
arguments = parser.parse_args()
if arguments.uvloop:
    import uvloop

    uvloop.install()
asyncio.run(main(arguments))
