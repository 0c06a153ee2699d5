"""What every case needs: a private network, processes with logs, deadlines, payloads and torrents.

Nothing here knows a BitTorrent program, nor Shoal.
"""

import hashlib
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

# RFC 2544 addresses: some programs refuse peers in 127/8.
HOSTS = 30
KIB = 1024
PIECE = 32 * KIB

# Odd sizes, an empty file, a file in one piece, files across pieces, names beyond ASCII.
FILES = {
    "a.bin": 1_500_017,
    "b/deep/er/c.bin": 700_001,
    "b/empty": 0,
    "b/one": 1,
    "d \u00e9t\u00e9.bin": 299_993,
    "z.bin": 1_048_577,
}


class CaseError(Exception):
    """Why a case fails."""


PRIVATE = {"SHOAL_INTEROP_NETWORK": "private"}


def in_private_network(command: list) -> list[str]:
    """`command` in a network of its own, in which nothing leaves the machine."""
    return ["unshare", "-n", *map(str, command)]


def expect_private_networks() -> None:
    """Ends this program unless it may make networks."""
    probe = subprocess.run(in_private_network(["true"]), capture_output=True, text=True)
    if probe.returncode != 0:
        sys.exit(
            "run.py: a private network namespace is needed, which root or CAP_SYS_ADMIN may make: "
            + probe.stderr.strip()
        )


def set_up_network() -> None:
    """Gives the network that this program runs in its addresses."""
    if os.environ.get("SHOAL_INTEROP_NETWORK") != "private":
        sys.exit("run.py: not in a network of its own")
    commands = ["link set lo up", "link set lo multicast on"]
    for number in range(1, HOSTS + 1):
        commands += [f"addr add 198.18.0.{number}/32 dev lo", f"addr add fd00::{number}/128 dev lo"]
        # These are of one network, as local service discovery wants it.
        commands += [f"addr add 198.19.0.{number}/24 dev lo"]
        # Private ones: rules that tie nodes of the DHT to addresses leave them out.
        commands += [f"addr add 10.83.0.{number}/32 dev lo"]
    subprocess.run(["ip", "-batch", "-"], input="\n".join(commands), text=True, check=True)


def wait_for(condition: Callable[[], object], seconds: float, what: str) -> object:
    """Waits until `condition` holds, and returns what it gave."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise CaseError(f"timeout after {seconds:.0f} s: {what}")
        time.sleep(0.05)
    return found


def listening(port: int, kind: str = "tcp") -> bool:
    """Whether any socket of this network accepts at `port`."""
    wanted = "0A" if kind == "tcp" else "07"
    for table in (f"/proc/net/{kind}", f"/proc/net/{kind}6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == wanted and int(fields[1].rsplit(":", 1)[1], 16) == port:
                return True
    return False


class Process:
    """A program that runs, with its output in a file."""

    def __init__(self, case: "Case", name: str, command: list, talks: bool = False, **environment: str):
        """One that `talks` is told what to do by lines on its standard input."""
        self.name = name
        self.dir = case.folder(f"{len(case.processes):02}-{name}")
        self.log = self.dir / "log"
        home = str(self.dir)
        variables = {"HOME": home, "XDG_CONFIG_HOME": home, "XDG_CACHE_HOME": home}
        variables |= {"XDG_STATE_HOME": home, "XDG_DATA_HOME": home, "LC_ALL": "C.UTF-8"}
        with self.log.open("wb") as log:
            try:
                self.process = subprocess.Popen(
                    [str(word) for word in command],
                    stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=self.dir,
                    env=os.environ | variables | environment,
                )
            except FileNotFoundError as error:
                raise CaseError(f"{error.filename} is not installed") from error
        case.processes.append(self)

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def tell(self, line: str) -> None:
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def code(self) -> int | None:
        """The exit code, once it has ended."""
        return self.process.poll()

    def alive(self) -> None:
        if self.code() is not None:
            raise CaseError(f"{self.name} has ended with {self.code()}")

    def kill(self) -> None:
        """Ends it as a crash would."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Ends it in order if it can, and anyhow."""
        for sent, patience in ((signal.SIGINT, 2), (signal.SIGTERM, 2), (signal.SIGKILL, 5)):
            if self.code() is not None:
                return
            self.process.send_signal(sent)
            try:
                self.process.wait(patience)
            except subprocess.TimeoutExpired:
                continue

    def tail(self) -> str:
        lines = [line[:1000] for line in re.split(r"[\r\n]+", self.text()) if line.strip()]
        # Pictures of a transfer crowd out all else.
        quiet = [line for line in lines if '"event":"progress"' not in line]
        lines = quiet[-7:] + [line for line in lines if line not in quiet][-1:]
        head = f"  {self.name} (exit {self.code()}): {' '.join(map(str, self.process.args))}"
        return "\n".join([head, *("    | " + line for line in lines[-8:])])


class Case:
    """One case that runs: its folder, its processes, its addresses."""

    def __init__(self, folder: Path, shoal: Path, modules: Path, mainline: Path):
        self.root = folder
        self.mainline = mainline
        self.shoal = shoal
        self.modules = modules
        self.processes: list[Process] = []
        self.hosts = 0

    def folder(self, name: str) -> Path:
        path = self.root / name
        path.mkdir(parents=True)
        return path

    def host(self, family: int = 4, lan: bool = False) -> str:
        """An address of its own for a process; those of a `lan` are of one network."""
        self.hosts += 1
        if family == 6:
            return f"fd00::{self.hosts}"
        return f"198.{19 if lan else 18}.0.{self.hosts}"

    def dht_host(self) -> str:
        """An address of its own for a node of the DHT."""
        self.hosts += 1
        return f"10.83.0.{self.hosts}"

    def end(self, keep: bool = False) -> None:
        for process in reversed(self.processes):
            process.stop()
        if not keep:
            shutil.rmtree(self.root, ignore_errors=True)


def free_port(host: str) -> int:
    """A port that is free over TCP and UDP."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    while True:
        with socket.socket(family) as tcp, socket.socket(family, socket.SOCK_DGRAM) as udp:
            tcp.bind((host, 0))
            port = tcp.getsockname()[1]
            try:
                udp.bind((host, port))
            except OSError:
                continue
            return port


def endpoint(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def bencode(value: object) -> bytes:
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    if isinstance(value, list):
        return b"l" + b"".join(map(bencode, value)) + b"e"
    if isinstance(value, dict):
        pairs = sorted((key.encode(), item) for key, item in value.items())
        return b"d" + b"".join(bencode(key) + bencode(item) for key, item in pairs) + b"e"
    raise TypeError(type(value))


def digests(root: Path) -> dict[str, str]:
    """SHA-256 of each file in `root`, by its path."""
    files = [path for path in root.rglob("*") if path.is_file()]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


class Payload:
    """Files to share, and the torrent that describes them, made without any BitTorrent program."""

    NAME = "payload"

    def __init__(self, case: Case, files: dict[str, int] | None = None):
        self.parent = case.folder("payload-source")
        self.root = self.parent / self.NAME
        rng = random.Random(str(case.root.name))
        self.sizes = files or FILES
        for name, length in self.sizes.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(rng.randbytes(length))
        self.case = case
        self.expected = digests(self.root)
        self.length = sum(self.sizes.values())

    def _info(self) -> dict:
        data = b"".join((self.root / name).read_bytes() for name in self.sizes)
        pieces = [data[start : start + PIECE] for start in range(0, len(data), PIECE)]
        files = [{"length": length, "path": name.split("/")} for name, length in self.sizes.items()]
        return {
            "name": self.NAME,
            "piece length": PIECE,
            "pieces": b"".join(hashlib.sha1(piece).digest() for piece in pieces),
            "files": files,
        }

    def torrent(self, trackers: list[str] | None = None, web_seeds: list[str] | None = None) -> Path:
        """Writes a v1 torrent."""
        torrent: dict = {"info": self._info()}
        if trackers:
            torrent |= {"announce": trackers[0], "announce-list": [[url] for url in trackers]}
        if web_seeds:
            torrent["url-list"] = web_seeds
        path = self.parent / "payload.torrent"
        path.write_bytes(bencode(torrent))
        return path

    def infohash(self) -> str:
        return hashlib.sha1(bencode(self._info())).hexdigest()

    def check(self, folder: Path, empty: bool = True, padding: bool = False) -> None:
        """Fails unless `folder` holds the payload, byte for byte, the empty file too if `empty`, and
        nothing else but padding if `padding`."""
        got = digests(folder / self.NAME)
        # Some programs make no empty files.
        expected = {name: digest for name, digest in self.expected.items() if self.sizes[name] or empty}
        wrong = [name for name, digest in expected.items() if got.get(name) != digest]
        if wrong:
            raise CaseError(f"missing or wrong in {folder.name}: {', '.join(wrong)}")
        strange = got.keys() - self.expected.keys()
        if padding:
            strange = {name for name in strange if not name.startswith(".pad/")}
        if strange:
            raise CaseError(f"too much in {folder.name}: {', '.join(sorted(strange))}")
