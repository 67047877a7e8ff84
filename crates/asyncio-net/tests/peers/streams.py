"""The other side of tests/peers: asyncio's own streams and datagrams.

    streams.py serve|connect TASK ADDRESS

ADDRESS is tcp:PORT, udp:PORT or unix:PATH. A server prints its port or path, once it listens. Both print "ok" when
the task was done, and what went wrong otherwise.
"""

import asyncio
import socket
import struct
import sys

LENGTH = 6 * 1024 * 1024
DATAGRAMS = [1, 100, 1400, 9000, 60_000]


def pattern(length):
    """The same bytes as common::bytes."""
    block = bytes((at ^ at >> 8) & 255 for at in range(65536))
    return (block * (length // len(block) + 1))[:length]


async def exchange(reader, writer):
    """Sends much while it receives as much."""

    async def send():
        data = pattern(LENGTH)
        for start in range(0, LENGTH, 50_000):
            writer.write(data[start : start + 50_000])
            await writer.drain()
        writer.write_eof()

    received, _ = await asyncio.gather(reader.read(-1), send())
    assert received == pattern(LENGTH), f"{len(received)} bytes, and not those"


async def ask(reader, writer):
    """Sends, ends its half, and receives."""
    writer.write(pattern(200_000))
    writer.write_eof()
    assert await reader.read(-1) == pattern(300_000)


async def answer(reader, writer):
    """Receives to the end, and only then sends."""
    assert await reader.read(-1) == pattern(200_000)
    writer.write(pattern(300_000))
    await writer.drain()


async def reset(reader, writer):
    """Resets the connection in the middle of what it receives."""
    await reader.readexactly(100_000)
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def be_reset(reader, writer):
    """Sends until the connection is reset."""
    try:
        while True:
            writer.write(pattern(50_000))
            await writer.drain()
    except (ConnectionResetError, BrokenPipeError):
        pass


async def lines(reader, writer):
    """Sends lines one byte at a time, and receives them whole."""
    text = b"one\r\ntwo\nthree\n"
    for byte in text:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0)
    writer.write_eof()
    assert [line async for line in reader] == text.splitlines(keepends=True)


TASKS = {task.__name__: task for task in [exchange, ask, answer, reset, be_reset, lines]}


async def do(task, reader, writer):
    await task(reader, writer)
    writer.close()
    try:
        await writer.wait_closed()
    except ConnectionError:
        assert task is be_reset


async def serve(task, kind, where):
    done = asyncio.get_running_loop().create_future()

    async def handle(reader, writer):
        try:
            done.set_result(await do(task, reader, writer))
        except BaseException as error:
            done.set_exception(error)

    if kind == "unix":
        server = await asyncio.start_unix_server(handle, where)
    else:
        server = await asyncio.start_server(handle, "127.0.0.1", int(where))
        where = server.sockets[0].getsockname()[1]
    print(where, flush=True)
    await done


async def connect(task, kind, where):
    if kind == "unix":
        reader, writer = await asyncio.open_unix_connection(where)
    else:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(where))
    await do(task, reader, writer)


class Datagrams(asyncio.DatagramProtocol):
    """A server sends everything back; a client sends one of each length and waits for it to come back."""

    def __init__(self):
        self.done = asyncio.get_running_loop().create_future()
        self.received = []
        self.asks = False

    def connection_made(self, transport):
        self.transport = transport
        self.asks = transport.get_extra_info("peername") is not None
        if self.asks:
            transport.sendto(pattern(DATAGRAMS[0]))

    def datagram_received(self, data, address):
        self.received.append(data)
        if not self.asks:
            self.transport.sendto(data, address)
        count = len(self.received)
        if count == len(DATAGRAMS):
            self.done.set_result(None)
        elif self.asks:
            self.transport.sendto(pattern(DATAGRAMS[count]))


async def datagrams(role, where):
    loop = asyncio.get_running_loop()
    address = ("127.0.0.1", int(where))
    which = {"remote_addr": address} if role == "connect" else {"local_addr": address}
    transport, protocol = await loop.create_datagram_endpoint(Datagrams, **which)
    if role == "serve":
        print(transport.get_extra_info("sockname")[1], flush=True)
    await protocol.done
    assert protocol.received == [pattern(length) for length in DATAGRAMS]


async def main():
    role, task, address = sys.argv[1:]
    kind, where = address.split(":", 1)
    if kind == "udp":
        work = datagrams(role, where)
    else:
        work = (serve if role == "serve" else connect)(TASKS[task], kind, where)
    await asyncio.wait_for(work, 60)
    print("ok")


asyncio.run(main())
