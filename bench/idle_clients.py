#!/usr/bin/env python3
"""Whether clients that do nothing, or that are slow, slow a node's transfers down.

    idle_clients.py [--clients N] [--mib N] [--rounds N] [--shoal PATH]

A node (`shoal up`) fetches a file from another process, again and again, by turns alone and with N
clients at its HTTP interface: a third is connected and says nothing, a third sends the head of a
request one byte a second, a third follows events and reads nothing. Whoever is turned away comes back
after ten seconds. Said are wall-clock and CPU seconds of the fetching node, medians over the rounds;
the difference in CPU time is what load on the machine does not touch. Nothing leaves loopback.
"""

import argparse
import asyncio
import http.client
import json
import multiprocessing
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from many_torrents import ROOT, Node

BACK_AFTER = 10.0
PATIENCE = 300.0


class Clients:
    """Clients in a process of their own."""

    def __init__(self, place: str, token: str, count: int):
        self.begin, self.ready = multiprocessing.Event(), multiprocessing.Event()
        self.open = multiprocessing.Value("i", 0)
        self.met = multiprocessing.Value("i", 0)
        self.process = multiprocessing.Process(target=self.run, args=(place, token, count))
        self.process.start()
        if not self.ready.wait(120):
            sys.exit("the clients do not get through")

    def run(self, place: str, token: str, count: int) -> None:
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        # They stand for other machines: what they do themselves is not to be measured.
        os.nice(19)
        asyncio.run(self.all(place, token, count))

    async def all(self, place: str, token: str, count: int) -> None:
        kinds = [self.idle, self.slow, self.events]
        tasks = []
        for number in range(count):
            tasks.append(asyncio.create_task(self.one(place, token, kinds[number % 3])))
            if number % 100 == 99:
                await asyncio.sleep(0.05)
        while self.met.value < count:
            await asyncio.sleep(0.1)
        self.ready.set()
        await asyncio.gather(*tasks)

    async def one(self, place: str, token: str, act) -> None:
        host, port = place.rsplit(":", 1)
        met = False
        while True:
            try:
                reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
            except OSError:
                await asyncio.sleep(BACK_AFTER)
                continue
            self.open.value += 1
            if not met:
                met, self.met.value = True, self.met.value + 1
            try:
                await act(reader, writer, place, token)
            except OSError:
                pass
            self.open.value -= 1
            writer.close()
            await asyncio.sleep(BACK_AFTER * (0.5 + random.random()))

    async def idle(self, reader, writer, place, token) -> None:
        await reader.read(1)

    async def slow(self, reader, writer, place, token) -> None:
        for byte in f"GET /api/v1/status HTTP/1.1\r\nHost: {place}\r\nX-Slow: {'x' * 1000}":
            writer.write(byte.encode())
            await writer.drain()
            try:
                if await asyncio.wait_for(reader.read(1024), 1) == b"":
                    return
            except TimeoutError:
                pass

    async def events(self, reader, writer, place, token) -> None:
        head = f"GET /api/v1/events HTTP/1.1\r\nHost: {place}\r\nAuthorization: Bearer {token}\r\n\r\n"
        writer.write(head.encode())
        # The reader's limit is soon reached; what comes then waits in the system's buffers.
        await asyncio.sleep(120)


def ask(node: Node, *request) -> dict | None:
    """Asks on a new connection if the old one was given to somebody else, as browsers do."""
    try:
        return node.ask(*request)
    except (http.client.RemoteDisconnected, ConnectionError):
        node.http.close()
        return node.ask(*request)


def fetch(node: Node, torrent: bytes, peer: str) -> tuple[float, float]:
    """Wall-clock and CPU seconds that one fetch takes."""
    # A connection of old may be the one that was idle longest.
    node.http.close()
    before, began = node.cpu(), time.monotonic()
    path = "/transfers"
    added = ask(node, "POST", path, torrent, "application/x-bittorrent")["id"]
    body = json.dumps({"addresses": [peer]})
    ask(node, "POST", f"{path}/{added}/peers", body, "application/json")
    while time.monotonic() - began < PATIENCE:
        if ask(node, "GET", f"{path}/{added}")["state"] == "seeding":
            seconds, cpu = time.monotonic() - began, node.cpu() - before
            ask(node, "DELETE", f"{path}/{added}?data=true")
            return seconds, cpu
        time.sleep(0.05)
    sys.exit("a fetch is stuck")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=10_000)
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shoal", type=Path, default=ROOT / "target/release/shoal")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="shoal-idle-", dir="/dev/shm") as name:
        folder = Path(name)
        (folder / "down").mkdir()
        (folder / "film.bin").write_bytes(random.Random(1).randbytes(1 << 20) * args.mib)
        (folder / "config.toml").write_text(
            f'[node]\nstate_dir = "{folder}/state"\n'
            '[network]\nlisten = ["127.0.0.1:0"]\nlsd = false\ndht = false\n'
            f'[transfers]\ndownload_dir = "{folder}/down"\n'
        )
        seed = subprocess.Popen(
            [args.shoal, "publish", folder / "film.bin", "--listen", "127.0.0.1:0", "--no-lsd",
             "--no-dht", "--output", folder / "film.torrent", "--json", "--stop-at-eof"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        while (said := json.loads(seed.stdout.readline()))["event"] != "listening":
            pass
        # It must not wait for somebody to read what it says.
        threading.Thread(target=seed.stdout.read, daemon=True).start()
        torrent = (folder / "film.torrent").read_bytes()
        node = Node(args.shoal, folder)
        place = f"{node.http.host}:{node.http.port}"
        token = node.headers["Authorization"].removeprefix("Bearer ")
        fetch(node, torrent, said["addresses"][0])
        alone, among, open_at_once = [], [], []
        for _ in range(args.rounds):
            alone.append(fetch(node, torrent, said["addresses"][0]))
            clients = Clients(place, token, args.clients)
            among.append(fetch(node, torrent, said["addresses"][0]))
            open_at_once.append(clients.open.value)
            clients.process.kill()
            clients.process.join()
        for what, rounds in [("alone", alone), (f"{args.clients} clients", among)]:
            wall, cpu = (statistics.median(column) for column in zip(*rounds))
            print(f"{what:14} {wall:6.2f} s, {args.mib / wall:5.0f} MiB/s, {cpu:5.2f} CPU s")
        wall, cpu = (
            statistics.median(many) / statistics.median(one) - 1
            for one, many in zip(zip(*alone), zip(*among))
        )
        print(f"slower by {100 * wall:+.1f} %, CPU {100 * cpu:+.1f} %, open at once: {open_at_once}")
        if node.stop() is None or seed.stdin.close() or seed.wait(30) != 0:
            sys.exit("the giver did not end in order")


if __name__ == "__main__":
    main()
