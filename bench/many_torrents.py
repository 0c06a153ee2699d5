#!/usr/bin/env python3
"""What it takes to keep many torrents: how soon a node is back with them, and what they cost.

    many_torrents.py [--torrents N] [--idle SECONDS] [--shoal PATH]

Makes N torrents of one small file each, adds them to a node (`shoal up`) that has the files, ends it in
order, and starts it again: how long until it answers, and until all seed. Then it is left alone, and
its CPU time and memory are read. Nothing leaves loopback.
"""

import argparse
import hashlib
import http.client
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PIECE = 16 << 10
PATIENCE = 900.0


def bencode(value) -> bytes:
    match value:
        case int():
            return b"i%de" % value
        case bytes():
            return b"%d:%s" % (len(value), value)
        case dict():
            return b"d" + b"".join(bencode(k) + bencode(v) for k, v in sorted(value.items())) + b"e"
    raise TypeError(value)


def make(folder: Path, number: int) -> bytes:
    """Writes a file, and returns the torrent of it."""
    data = random.Random(number).randbytes(PIECE)
    name = f"{number:06}.bin"
    (folder / name).write_bytes(data)
    pieces = hashlib.sha1(data).digest()
    info = {b"name": name.encode(), b"length": PIECE, b"piece length": PIECE, b"pieces": pieces}
    return bencode({b"info": info})


class Node:
    """A node with its state in `folder`."""

    def __init__(self, shoal: Path, folder: Path):
        self.started = time.monotonic()
        command = [shoal, "up", "--api", "127.0.0.1:0", "--config", folder / "config.toml", "--json"]
        self.process = subprocess.Popen(
            command + ["--stop-at-eof"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(folder / "log").open("a"),
            text=True,
        )
        up = json.loads(self.process.stdout.readline())
        self.up_after = time.monotonic() - self.started
        self.link = up["link"]
        place = up["api"].removeprefix("http://").strip("/")
        self.http = http.client.HTTPConnection(place)
        token = (folder / "state" / "api-token").read_text().strip()
        self.headers = {"Authorization": f"Bearer {token}"}

    def ask(self, method: str, path: str, body=None, kind=None):
        headers = self.headers | ({"Content-Type": kind} if kind else {})
        self.http.request(method, "/api/v1" + path, body, headers)
        answer = self.http.getresponse()
        text = answer.read()
        if answer.status >= 300:
            sys.exit(f"{method} {path}: {answer.status} {text[:300]!r}")
        return json.loads(text) if text else None

    def await_seeding(self, count: int) -> float:
        """Seconds from the start until so many torrents seed."""
        while (passed := time.monotonic() - self.started) < PATIENCE:
            counts = self.ask("GET", "/status")["transfers"]
            if counts["seeding"] >= count:
                return passed
            time.sleep(0.1)
        sys.exit(f"not all seed: {counts}")

    def cpu(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident(self) -> int:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) << 10

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def stop(self) -> float:
        began = time.monotonic()
        self.process.stdin.close()
        if self.process.wait(60) != 0:
            sys.exit("the node did not end in order")
        return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torrents", type=int, default=10_000)
    parser.add_argument("--idle", type=float, default=30.0)
    parser.add_argument("--settle", type=float, default=10.0, help="seconds before idling counts")
    parser.add_argument("--shoal", type=Path, default=ROOT / "target/release/shoal")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="shoal-many-") as name:
        folder = Path(name)
        (folder / "files").mkdir()
        (folder / "config.toml").write_text(
            f'[node]\nstate_dir = "{folder}/state"\n'
            '[network]\nlisten = ["127.0.0.1:0"]\nlsd = false\ndht_bootstrap = []\n'
            f'[transfers]\ndownload_dir = "{folder}/files"\n'
        )
        node = Node(args.shoal, folder)
        empty = node.resident()
        for number in range(args.torrents):
            node.ask("POST", "/transfers", make(folder / "files", number), "application/x-bittorrent")
        added = node.await_seeding(args.torrents)
        ended = node.stop()
        print(f"{args.torrents} torrents added in {added:.1f} s, node ended in {ended:.2f} s", flush=True)

        node = Node(args.shoal, folder)
        seeding = node.await_seeding(args.torrents)
        started = node.cpu()
        time.sleep(args.settle)
        before = node.cpu()
        time.sleep(args.idle)
        idle = (node.cpu() - before) / args.idle
        resident, descriptors = node.resident(), node.descriptors()
        ended = node.stop()
        print(
            f"again: answers after {node.up_after:.2f} s, all seed after {seeding:.2f} s "
            f"({started:.2f} CPU s), idle {100 * idle:.2f} % of a core,\n"
            f"  {resident / (1 << 20):.0f} MiB resident, "
            f"{(resident - empty) / args.torrents / 1024:.1f} KiB a torrent, "
            f"{descriptors} descriptors, ended in {ended:.2f} s"
        )


if __name__ == "__main__":
    main()
