#!/usr/bin/env python3
"""How long Shoal takes to share a file, and what it costs.

    swarm.py versions [--size MIB] [--piece KIB] [--runs N]
    swarm.py riders [--peers N] [--riders N] [--us MB/s] [--ui MB/s] [--size MIB] [--runs N]

`versions` sends a file from one process to another as a torrent of version 1, of version 2 and as a
hybrid, in turn, and compares CPU seconds per GiB of both sides together. `riders` lets some of the
fetching peers upload next to nothing (1 KiB/s), and compares when the last contributor and the last
rider are done with the fluid bound of all: the larger of F/us and NF/(us + sum of ui), in which riders
have no ui. Everything runs in a network namespace of its own, which needs root. --real-time runs it
before other programs, on a machine that is not quiet.
"""

import argparse
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MIB = 1 << 20
TRACKER = "198.18.0.100:7000"
PATIENCE = 300.0


def cpu_of(pid: int) -> float:
    """CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Node:
    """A process of Shoal with an address of its own."""

    def __init__(self, told: argparse.Namespace, folder: Path, number: int, *command: object):
        self.address = f"198.18.0.{number}:6881"
        self.log = folder / f"{number}.log"
        network = ["--json", "--no-lsd", "--listen", self.address]
        with self.log.open("wb") as log:
            words = [str(word) for word in (told.shoal, *command, *network)]
            self.process = subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
        self.ended = 0.0

    def says(self, text: str) -> bool:
        return text in self.log.read_text(errors="replace")

    def is_complete(self) -> bool:
        """Whether it has all; remembers since when."""
        if not self.ended and self.says('"event":"complete"'):
            self.ended = time.monotonic()
        elif not self.ended and self.process.poll() is not None:
            sys.exit(f"a node ended with {self.process.returncode}: {self.log.read_text()[-1000:]}")
        return bool(self.ended)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def wait_for(condition: object, what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"timeout: {what}")
        time.sleep(0.01)


def make(told: argparse.Namespace, folder: Path, kind: str, tracker: bool) -> tuple[Path, Path]:
    """A file of random bytes, and a torrent of it."""
    source = folder / "source"
    data = source / "data.bin"
    if not data.exists():
        source.mkdir()
        rng = random.Random(told.size)
        with data.open("wb") as file:
            for _ in range(told.size):
                file.write(rng.randbytes(MIB))
    torrent = folder / f"{kind}.torrent"
    if not torrent.exists():
        command = [told.shoal, "publish", "--no-seed", f"--{kind}", "--piece-size", f"{told.piece}K"]
        command += ["--tracker", f"http://{TRACKER}/announce"] if tracker else []
        command += ["--output", torrent, data]
        subprocess.run([str(word) for word in command], check=True, capture_output=True)
    return data, torrent


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def transfer(told: argparse.Namespace, folder: Path, kind: str) -> dict:
    """One process to another."""
    data, torrent = make(told, folder, kind, tracker=False)
    out = folder / "out"
    seed = Node(told, folder, 1, "publish", data.parent, "--torrent", torrent)
    try:
        wait_for(lambda: seed.says('"state":"seeding"'), "the seed has its pieces checked")
        time.sleep(0.5)
        before, children = cpu_of(seed.process.pid), resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.monotonic()
        fetch = Node(told, folder, 2, "fetch", torrent, "-o", out, "--peer", seed.address)
        if fetch.process.wait(PATIENCE):
            sys.exit(f"fetch failed: {fetch.log.read_text()[-1000:]}")
        seconds = time.monotonic() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        leech = after.ru_utime + after.ru_stime - children.ru_utime - children.ru_stime
        sent = cpu_of(seed.process.pid) - before
        if digest(out / data.name) != digest(data):
            sys.exit("what came is not what was sent")
    finally:
        seed.stop()
        shutil.rmtree(out, ignore_errors=True)
    gib = told.size / 1024
    return {"gib_s": gib / seconds, "seed": sent / gib, "leech": leech / gib, "cpu": (sent + leech) / gib}


def versions(told: argparse.Namespace, folder: Path) -> None:
    runs: dict[str, list[dict]] = {"v1": [], "v2": [], "hybrid": []}
    for _ in range(told.runs):
        for kind, figures in runs.items():
            figures.append(transfer(told, folder, kind))
    print(f"{told.size} MiB in pieces of {told.piece} KiB, median of {told.runs}; CPU seconds per GiB")
    base = statistics.median(figures["cpu"] for figures in runs["v1"])
    for kind, figures in runs.items():
        of = {key: statistics.median(run[key] for run in figures) for key in figures[0]}
        print(
            f"{kind:7} {of['gib_s']:.2f} GiB/s  seed {of['seed']:.2f}  leech {of['leech']:.2f}"
            f"  both {of['cpu']:.2f}  against v1 {of['cpu'] / base:.2f}"
        )


def swarm(told: argparse.Namespace, folder: Path) -> tuple[float, float]:
    """When the last contributor and the last of all were done, in seconds."""
    data, torrent = make(told, folder, "v1", tracker=True)
    tracker = subprocess.Popen(
        [told.shoal, "tracker", "--listen", TRACKER], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    nodes: list[Node] = []
    try:
        up = int(told.us * 1e6)
        nodes.append(Node(told, folder, 1, "publish", data.parent, "--torrent", torrent, "--up", up))
        wait_for(lambda: nodes[0].says('"seeds":1'), "the seed has announced itself")
        began = time.monotonic()
        for number in range(told.peers):
            up = 1024 if number < told.riders else int(told.ui * 1e6)
            out = folder / f"out-{number}"
            nodes.append(Node(told, folder, 2 + number, "fetch", torrent, "-o", out, "--seed", "--up", up))
        fetching = nodes[1:]
        wait_for(lambda: all([node.is_complete() for node in fetching]), "all have all")
        for number in range(told.peers):
            if digest(folder / f"out-{number}" / data.name) != digest(data):
                sys.exit("what came is not what was sent")
        ends = [node.ended - began for node in fetching]
        return max(ends[told.riders :]), max(ends)
    finally:
        for node in nodes:
            node.stop()
        tracker.terminate()
        tracker.wait()
        for number in range(told.peers):
            shutil.rmtree(folder / f"out-{number}", ignore_errors=True)


def riders(told: argparse.Namespace, folder: Path) -> None:
    length = told.size * MIB / 1e6
    bound = max(length / told.us, told.peers * length / (told.us + (told.peers - told.riders) * told.ui))
    ends = [swarm(told, folder) for _ in range(told.runs)]
    contributor, last = (statistics.median(column) for column in zip(*ends, strict=True))
    print(f"{told.peers} peers, {told.riders} of them free riders, {told.size} MiB, median of {told.runs}")
    print(f"bound {bound:.1f} s; last contributor {contributor:.1f} s, {contributor / bound:.2f} of it;")
    print(f"last of all {last:.1f} s, {last / bound:.2f} of it")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("what", choices=["versions", "riders"])
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser.add_argument("--shoal", type=Path, default=target / "release/shoal")
    parser.add_argument("--size", type=int, help="MiB; 1024 for versions, 128 for riders")
    parser.add_argument("--piece", type=int, default=1024, help="KiB")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--peers", type=int, default=8)
    parser.add_argument("--riders", type=int, default=2)
    parser.add_argument("--us", type=float, default=8, help="upload of the seed, MB/s")
    parser.add_argument("--ui", type=float, default=4, help="upload of each contributor, MB/s")
    parser.add_argument("--dir", default="/dev/shm", help="where the files lie")
    parser.add_argument("--real-time", action="store_true")
    told = parser.parse_args()
    told.shoal = told.shoal.resolve()
    told.size = told.size or {"versions": 1024, "riders": 128}[told.what]
    if os.environ.get("SHOAL_BENCH_NETWORK") != "private":
        before = ["chrt", "-r", "1"] if told.real_time else []
        command = [*before, "unshare", "-n", sys.executable, *sys.argv]
        os.execvpe(command[0], command, dict(os.environ, SHOAL_BENCH_NETWORK="private"))
    addresses = [f"addr add 198.18.0.{number}/32 dev lo" for number in range(1, 101)]
    subprocess.run(["ip", "-batch", "-"], input="\n".join(["link set lo up", *addresses]), text=True, check=True)
    with tempfile.TemporaryDirectory(prefix="shoal-bench-", dir=told.dir) as folder:
        {"versions": versions, "riders": riders}[told.what](told, Path(folder))


if __name__ == "__main__":
    main()
