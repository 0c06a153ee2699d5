#!/usr/bin/env python3
"""A node with many torrents and a large library: how long it takes, what it costs, how soon it answers.

    large_node.py [--torrents N] [--files N] [--bytes N] [--idle SECONDS] [--shoal PATH] [--modules FOLDER]

Adds N torrents of one small file each to a node (`shoal up`) that has the files, shares a folder of N
other files, waits until all is hashed, and starts the node again. Then it asks over HTTP, as the page
does, leaves the node alone, and reads its CPU time and memory. With the folder of what tests/page wants of
npm, a browser opens the page as well (page_ready.mjs). Nothing leaves loopback.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from many_torrents import ROOT, Node, make

PER_FOLDER = 500
WORDS = "amber birch cedar delta ember fjord grove heron islet juniper kelp lotus".split()
ENDS = ["mp4", "flac", "jpg", "txt"]
PATIENCE = 3600.0
TIMES = 20


def fill(folder: Path, count: int, length: int) -> None:
    """Files with names of two words and a number, in folders of their own."""
    for number in range(count):
        inside = folder / f"folder {number // PER_FOLDER}"
        if number % PER_FOLDER == 0:
            inside.mkdir(parents=True)
        one, two = WORDS[number % 12], WORDS[number // 7 % 12]
        content = number.to_bytes(8, "little") * (length // 8 + 1)
        (inside / f"{one} {two} {number}.{ENDS[number % 4]}").write_bytes(content[:length])


def await_library(node: Node, files: int) -> float:
    """Seconds until all files are hashed and found by words."""
    began = time.monotonic()
    while time.monotonic() - began < PATIENCE:
        library = node.ask("GET", "/library")
        states = {folder["state"] for folder in library["folders"]}
        if library["files_hashed"] == files and states == {"watching"}:
            return time.monotonic() - began
        time.sleep(0.2)
    sys.exit(f"the library is stuck: {library}")


def latency(node: Node, path: str) -> tuple[float, float, int]:
    """The median and the worst of some requests, in milliseconds, and the bytes of an answer."""
    times, size = [], 0
    for _ in range(TIMES):
        began = time.perf_counter()
        node.http.request("GET", "/api/v1" + path, headers=node.headers)
        answer = node.http.getresponse()
        size = len(answer.read())
        if answer.status != 200:
            sys.exit(f"{path}: {answer.status}")
        times.append(1000 * (time.perf_counter() - began))
    times.sort()
    return times[TIMES // 2], times[-1], size


def look(node: Node, modules: Path) -> None:
    """What a browser says of the page."""
    script = Path(__file__).with_name("page_ready.mjs")
    environment = os.environ | {"MODULES": str(modules)}
    said = json.loads(subprocess.check_output(["node", script, node.link], env=environment))
    for view, figures in said.items():
        print(f"  page, {view}: {figures}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torrents", type=int, default=1_000)
    parser.add_argument("--files", type=int, default=200_000)
    parser.add_argument("--bytes", type=int, default=1_000)
    parser.add_argument("--idle", type=float, default=30.0)
    parser.add_argument("--shoal", type=Path, default=ROOT / "target/release/shoal")
    parser.add_argument("--modules", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="shoal-large-") as name:
        folder = Path(name)
        (folder / "files").mkdir()
        fill(folder / "shared", args.files, args.bytes)
        (folder / "config.toml").write_text(
            f'[node]\nstate_dir = "{folder}/state"\n'
            '[network]\nlisten = ["127.0.0.1:0"]\nlsd = false\ndht_bootstrap = []\n'
            f'[transfers]\ndownload_dir = "{folder}/files"\npublish_roots = ["{folder}/shared"]\n'
        )
        node = Node(args.shoal, folder)
        for number in range(args.torrents):
            node.ask("POST", "/transfers", make(folder / "files", number), "application/x-bittorrent")
        node.await_seeding(args.torrents)
        before = node.cpu()
        share = json.dumps({"path": f"{folder}/shared"})
        node.ask("POST", "/library/folders", share, "application/json")
        seconds = await_library(node, args.files)
        cpu = node.cpu() - before
        print(f"{args.files} files hashed in {seconds:.1f} s ({cpu:.1f} CPU s)", flush=True)
        print(f"  {node.resident() >> 20} MiB resident with {args.torrents} torrents", flush=True)
        node.stop()

        node = Node(args.shoal, folder)
        seeding = node.await_seeding(args.torrents)
        await_library(node, args.files)
        settled = time.monotonic() - node.started
        print(f"again: answers after {node.up_after:.2f} s, all seed after {seeding:.2f} s,", end=" ")
        print(f"the library is looked at after {settled:.2f} s", flush=True)
        for path in [
            "/transfers",
            "/transfers?limit=100",
            "/library",
            "/library/files?limit=100",
            f"/library/files?limit=100&offset={args.files * 3 // 4}",
            "/library/files?limit=100&q=amber",
            "/library/files?limit=100&q=am+de",
            "/search?q=amber+delta&limit=100",
            "/search?q=zzz&limit=100",
        ]:
            median, worst, size = latency(node, path)
            print(f"  {median:7.1f} ms, {worst:7.1f} at worst, {size >> 10:5} KiB  {path}", flush=True)
        if args.modules:
            look(node, args.modules)
        time.sleep(5)
        before = node.cpu()
        time.sleep(args.idle)
        idle = (node.cpu() - before) / args.idle
        print(f"idle {100 * idle:.2f} % of a core, {node.resident() >> 20} MiB resident")
        node.stop()


if __name__ == "__main__":
    main()
