#!/usr/bin/env python3
"""Whether clients that do nothing, or that are slow, slow a node's transfers down.

    idle_clients.py [--clients N] [--back SECONDS] [--mib N] [--rounds N] [--shoal PATH]

A node (`shoal up`) fetches a file from another process, again and again, in turns: alone; with N clients
that have connected to its HTTP interface and stay for as long as they are let; and with N clients of which
whoever is turned away comes back after some seconds. A third of them says nothing, a third sends the head
of a request one byte a second, a third follows events and reads nothing. Said are wall-clock and CPU
seconds of the fetching node, CPU seconds of the clients meanwhile, which share its cores, and how many
were connected when the fetch began: medians over the rounds. Nothing leaves loopback.
"""

import argparse
import heapq
import http.client
import json
import multiprocessing
import os
import random
import resource
import select
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from many_torrents import ROOT, Node

PATIENCE = 300.0
# Connections that are begun in one go, and seconds between two goes.
AT_ONCE, PAUSE = 100, 0.05
# Until what connecting costs is over.
SETTLE = 1.0


class Client:
    """One connection, or the wish for one."""

    def __init__(self, kind: str):
        self.kind, self.socket, self.sent = kind, None, 0


class Clients:
    """Clients in a process of their own; with `back`, those turned away come back after so many seconds."""

    def __init__(self, place: str, token: str, count: int, back: float | None):
        host, port = place.rsplit(":", 1)
        self.address, self.back = (host, int(port)), back
        self.slow = f"GET /api/v1/status HTTP/1.1\r\nHost: {place}\r\nX-Slow: {'x' * 1000}".encode()
        self.follow = (
            f"GET /api/v1/events HTTP/1.1\r\nHost: {place}\r\nAuthorization: Bearer {token}\r\n\r\n"
        ).encode()
        self.ready = multiprocessing.Event()
        self.process = multiprocessing.Process(target=self.run, args=(count,))
        self.process.start()
        if not self.ready.wait(120):
            sys.exit("the clients do not get through")

    def cpu(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self) -> None:
        self.process.kill()
        self.process.join()

    def run(self, count: int) -> None:
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        self.epoll, self.by_fd = select.epoll(), {}
        self.due: list = []
        slow = set()
        for number in range(count):
            client = Client(("idle", "slow", "events")[number % 3])
            if client.kind == "slow":
                slow.add(client)
            heapq.heappush(self.due, (time.monotonic() + number // AT_ONCE * PAUSE, number, client))
        begun, next_byte = 0, time.monotonic() + 1
        while True:
            now = time.monotonic()
            while self.due and self.due[0][0] <= now:
                _, number, client = heapq.heappop(self.due)
                self.connect(number, client)
                begun += 1
            if now >= next_byte:
                next_byte = now + 1
                for client in slow:
                    if client.socket and client.sent < len(self.slow):
                        self.send(client, self.slow[client.sent : client.sent + 1])
                        client.sent += 1
            if begun >= count and not self.ready.is_set():
                self.ready.set()
            wait = min([next_byte] + [at for at, *_ in self.due[:1]]) - time.monotonic()
            for fd, events in self.epoll.poll(max(0, wait)):
                self.heard(*self.by_fd[fd], events)

    def connect(self, number: int, client: Client) -> None:
        client.socket, client.sent = socket.socket(), 0
        client.socket.setblocking(False)
        client.socket.connect_ex(self.address)
        self.by_fd[client.socket.fileno()] = (number, client)
        self.epoll.register(client.socket, select.EPOLLOUT)

    def heard(self, number: int, client: Client, events: int) -> None:
        if events & select.EPOLLOUT:
            if client.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self.gone(number, client)
                return
            if client.kind == "events":
                self.send(client, self.follow)
            # Nobody reads: what comes waits in the system's buffers. Only an end is heard.
            self.epoll.modify(client.socket, select.EPOLLRDHUP)
        elif events & (select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR):
            self.gone(number, client)

    def send(self, client: Client, data: bytes) -> None:
        try:
            client.socket.send(data)
        except OSError:
            # It is closed: that is heard as well.
            pass

    def gone(self, number: int, client: Client) -> None:
        self.epoll.unregister(client.socket)
        del self.by_fd[client.socket.fileno()]
        client.socket.close()
        client.socket = None
        if self.back:
            at = time.monotonic() + self.back * (0.5 + random.random())
            heapq.heappush(self.due, (at, number, client))


def ask(node: Node, *request) -> dict | None:
    """Asks on a new connection if the old one was given to somebody else, as browsers do."""
    try:
        return node.ask(*request)
    except (http.client.RemoteDisconnected, ConnectionError):
        node.http.close()
        return node.ask(*request)


def connected(node: Node) -> int:
    """Connections to the node's HTTP interface that the system has."""
    port = f":{node.http.port:04X}"
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    fields = (line.split() for line in lines)
    return sum(1 for field in fields if field[1].endswith(port) and field[3] == "01")


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
    parser.add_argument("--back", type=float, default=10.0)
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
        ways = {
            "alone": None,
            f"{args.clients} that stay": (args.clients, None),
            f"{args.clients} that come back": (args.clients, args.back),
        }
        rounds: dict[str, list] = {name: [] for name in ways}
        for _ in range(args.rounds):
            for name, way in ways.items():
                clients = way and Clients(place, token, *way)
                time.sleep(SETTLE if clients else 0)
                there, before = (connected(node), clients.cpu()) if clients else (0, 0.0)
                wall, cpu = fetch(node, torrent, said["addresses"][0])
                rounds[name].append((wall, cpu, clients.cpu() - before if clients else 0.0, there))
                if clients:
                    clients.end()
        first = None
        for name, all_rounds in rounds.items():
            wall, cpu, theirs, there = (statistics.median(column) for column in zip(*all_rounds))
            first = first or (wall, cpu)
            print(
                f"{name:22} {wall:6.2f} s ({100 * (wall / first[0] - 1):+5.1f} %), {args.mib / wall:5.0f} MiB/s, "
                f"{cpu:5.2f} CPU s ({100 * (cpu / first[1] - 1):+5.1f} %), "
                f"clients {theirs:5.2f} CPU s, {there:.0f} connected"
            )
        if node.stop() is None or seed.stdin.close() or seed.wait(30) != 0:
            sys.exit("the giver did not end in order")


if __name__ == "__main__":
    main()
