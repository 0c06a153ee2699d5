"""The programs under test, each behind the same few words.

Every peer has `seed` and `fetch`, which start it; `address`, where it can be dialled; `await_ready`,
after which it can be, and `await_complete`. Each is told its address, and to look for peers only where
the case says: DHTs, local discovery and port mapping are off.
"""

import json
import re
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path

from harness import Case, CaseError, Process, endpoint, free_port, listening, wait_for

HERE = Path(__file__).resolve().parent
READY = 30.0
COMPLETE = 120.0


class Peer:
    """A program that takes part in one torrent."""

    NAME = ""

    def __init__(self, case: Case, family: int = 4, lan: bool = False):
        self.case = case
        self.host = case.host(family, lan)
        self.port = free_port(self.host)
        self.address = endpoint(self.host, self.port)
        self.folder = case.folder(f"{self.NAME}-{case.hosts}")
        self.process: Process | None = None
        self.seeds = False

    def seed(self, torrent: Path, payload_parent: Path) -> "Peer":
        self.folder = payload_parent
        self.seeds = True
        return self._begin(str(torrent), [])

    def fetch(self, source: Path | str, peers: list[str] | None = None) -> "Peer":
        return self._begin(str(source), peers or [])

    def _begin(self, source: str, peers: list[str]) -> "Peer":
        raise NotImplementedError

    def _run(self, command: list, **environment: str) -> "Peer":
        self.process = Process(self.case, self.NAME, command, **environment)
        return self

    def _until(self, condition: object, seconds: float, what: str) -> None:
        def check() -> bool:
            if condition():
                return True
            self.process.alive()
            return False

        wait_for(check, seconds, f"{self.NAME} {what}")

    def is_listening(self) -> bool:
        return listening(self.port)

    def is_ready(self) -> bool:
        return self.is_listening()

    def is_complete(self) -> bool:
        raise NotImplementedError

    def await_ready(self) -> "Peer":
        self._until(self.is_ready, READY, "is ready")
        return self

    def await_complete(self, seconds: float = COMPLETE) -> "Peer":
        self._until(self.is_complete, seconds, "has all")
        return self

    def events(self, kind: str | None = None) -> list[dict]:
        """The lines of JSON it has printed so far, those of one kind if it is given."""
        found = []
        for line in self.process.text().splitlines():
            if not line.startswith("{"):
                continue
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if kind in (None, event.get("event")):
                found.append(event)
        return found


class Shoal(Peer):
    """The program that is tested."""

    NAME = "shoal"

    def __init__(self, case: Case, *options: str, family: int = 4, lan: bool = False):
        """On a `lan` it uses local service discovery."""
        super().__init__(case, family, lan)
        self.options = options if lan else ("--no-lsd", *options)

    def _network(self, peers: list[str]) -> list:
        dial = [word for peer in peers for word in ("--peer", peer)]
        return ["--json", "--listen", self.address, *dial, *self.options]

    def seed(self, torrent: Path, payload_parent: Path, peers: list[str] | None = None) -> "Shoal":
        self.folder = payload_parent
        command = [self.case.shoal, "publish", payload_parent, "--torrent", torrent]
        return self._run(command + self._network(peers or []))

    def publish(self, root: Path, output: Path, *options: str) -> "Shoal":
        """Makes a torrent of `root` and seeds it."""
        self.folder = root.parent
        command = [self.case.shoal, "publish", root, "--output", output, *options]
        self._run(command + self._network([]))
        self.await_ready()
        return self

    def _begin(self, source: str, peers: list[str]) -> "Shoal":
        command = [self.case.shoal, "fetch", source, "--output", self.folder, "--timeout", "120s"]
        return self._run(command + self._network(peers))

    def await_listening(self) -> None:
        self._until(lambda: self.events("listening"), READY, "listens")

    def is_ready(self) -> bool:
        return any(event["state"] == "seeding" for event in self.events("progress"))

    def is_complete(self) -> bool:
        return self.process.code() == 0 and bool(self.events("complete"))

    def magnet(self) -> str:
        return next(event["magnet"] for event in self.events("torrent") if event.get("magnet"))

    def progress(self) -> dict:
        """Its last picture of the transfer."""
        events = self.events("progress")
        return events[-1] if events else {"bytes_have": 0, "trackers": [], "peers": [], "peers_past": []}

    def met(self) -> list[dict]:
        """Peers it has or had."""
        last = self.progress()
        return last["peers"] + last["peers_past"]

    def has_announced(self) -> bool:
        return any(tracker["seeds"] is not None for tracker in self.progress()["trackers"])

    def await_announced(self) -> "Shoal":
        self._until(self.has_announced, READY, "has announced")
        return self


class Libtorrent(Peer):
    NAME = "libtorrent"

    def __init__(self, case: Case, family: int = 4, lan: bool = False, **settings: object):
        """On a `lan` it uses local service discovery."""
        super().__init__(case, family, lan)
        self.settings = settings | {"enable_lsd": lan}

    def _begin(self, source: str, peers: list[str]) -> "Libtorrent":
        told = {"magnet" if source.startswith("magnet:") else "torrent": source}
        told |= {"dir": str(self.folder), "listen": self.address, "peers": peers, "seed": self.seeds}
        told["settings"] = self.settings
        return self._run([sys.executable, HERE / "lt_peer.py", json.dumps(told)])

    def is_ready(self) -> bool:
        udp_only = self.settings.get("enable_incoming_tcp") is False
        return bool(self.events("ready")) and listening(self.port, "udp" if udp_only else "tcp")

    def is_complete(self) -> bool:
        return bool(self.events("complete"))

    def has_heard(self, address: str) -> bool:
        """Whether local service discovery told it of a peer."""
        peers = [peer for event in self.events("peers") for peer in event["peers"]]
        return any(peer["address"] == address and peer["lsd"] for peer in peers)

    def rc4(self) -> bool:
        """Whether any connection of it was obfuscated to the end."""
        return any(peer["rc4"] for event in self.events("peers") for peer in event["peers"])


LIBTORRENT_UTP_ONLY = {
    "enable_incoming_tcp": False,
    "enable_outgoing_tcp": False,
}
LIBTORRENT_TCP_ONLY = {
    "enable_incoming_utp": False,
    "enable_outgoing_utp": False,
}
LIBTORRENT_NEVER_DIALS = {
    "enable_outgoing_tcp": False,
    "enable_outgoing_utp": False,
}
LIBTORRENT_RC4_ONLY = {
    "in_enc_policy": 0,
    "out_enc_policy": 0,
    "allowed_enc_level": 2,
    "prefer_rc4": True,
}


def hook(folder: Path) -> tuple[Path, Path]:
    """A program that leaves a file behind when it is run, and that file."""
    done, script = folder / "done", folder / "done.sh"
    script.write_text(f"#!/bin/sh\ntouch '{done}'\n")
    script.chmod(0o755)
    return script, done


class Transmission(Peer):
    NAME = "transmission"

    def __init__(self, case: Case, encryption: int = 1, utp: bool = False):
        """`encryption` is 0 to prefer plain connections, 1 to prefer obfuscated ones, 2 to require them."""
        super().__init__(case)
        self.state = case.folder(f"transmission-state-{case.hosts}")
        self.control_port = free_port(self.host)
        self.session = ""
        settings = {
            "bind-address-ipv4": self.host,
            "blocklist-enabled": False,
            "dht-enabled": False,
            "download-queue-enabled": False,
            "encryption": encryption,
            "lpd-enabled": False,
            "peer-port": self.port,
            "pex-enabled": False,
            "port-forwarding-enabled": False,
            "preallocation": 0,
            "ratio-limit-enabled": False,
            "rpc-authentication-required": False,
            "rpc-bind-address": self.host,
            "rpc-enabled": True,
            "rpc-host-whitelist-enabled": False,
            "rpc-port": self.control_port,
            "rpc-whitelist-enabled": False,
            "seed-queue-enabled": False,
            "utp-enabled": utp,
        }
        (self.state / "settings.json").write_text(json.dumps(settings))

    def _begin(self, source: str, peers: list[str]) -> "Transmission":
        if peers:
            raise CaseError("Transmission cannot be told a peer")
        self.idle()
        self.add(source)
        return self

    def idle(self) -> "Transmission":
        """Starts it without a torrent."""
        self._run(["transmission-daemon", "--foreground", "--config-dir", self.state, "--log-info"])
        self._until(lambda: listening(self.control_port), READY, "can be controlled")
        return self

    def add(self, source: str) -> None:
        self._call("torrent-add", filename=source, **{"download-dir": str(self.folder)})

    def takes(self, torrent: Path) -> bool:
        """Whether it takes a torrent file for one, which it then has."""
        try:
            self.add(str(torrent))
        except CaseError as error:
            if "invalid or corrupt torrent file" in str(error):
                return False
            raise
        return True

    def _call(self, method: str, **arguments: object) -> dict:
        body = json.dumps({"method": method, "arguments": arguments}).encode()
        for _ in range(2):
            connection = HTTPConnection(self.host, self.control_port, timeout=10)
            headers = {"X-Transmission-Session-Id": self.session}
            connection.request("POST", "/transmission/rpc", body, headers)
            answer = connection.getresponse()
            text = answer.read()
            connection.close()
            # The first call only learns the session's name.
            if answer.status != 409:
                break
            self.session = answer.headers["X-Transmission-Session-Id"]
        told = json.loads(text)
        if told["result"] != "success":
            raise CaseError(f"Transmission: {told['result']}")
        return told["arguments"]

    def _torrent(self) -> dict:
        fields = ["status", "leftUntilDone", "metadataPercentComplete"]
        return self._call("torrent-get", fields=fields)["torrents"][0]

    def is_ready(self) -> bool:
        # 4 is downloading, 6 is seeding.
        return self.is_listening() and self._torrent()["status"] == (6 if self.seeds else 4)

    def is_complete(self) -> bool:
        torrent = self._torrent()
        return torrent["metadataPercentComplete"] == 1 and torrent["leftUntilDone"] == 0


class Aria2(Peer):
    NAME = "aria2"

    def __init__(self, case: Case, require_encryption: bool = False):
        super().__init__(case)
        self.options = ["--bt-require-crypto=true", "--bt-min-crypto-level=arc4"] if require_encryption else []
        self.state = case.folder(f"aria2-state-{case.hosts}")
        self.script, self.done = hook(self.state)

    def _begin(self, source: str, peers: list[str]) -> "Aria2":
        if peers:
            raise CaseError("aria2c cannot be told a peer")
        # Without its DHT it announces over HTTP only.
        udp = "udp://" in source or (Path(source).is_file() and b"udp://" in Path(source).read_bytes())
        command = ["aria2c", f"--dir={self.folder}", f"--interface={self.host}", f"--listen-port={self.port}"]
        command += [f"--enable-dht={str(udp).lower()}", f"--dht-listen-port={self.port}"]
        command += [f"--dht-file-path={self.state / 'dht'}", "--enable-dht6=false", "--disable-ipv6=true"]
        command += ["--bt-enable-lpd=false", "--seed-ratio=0.0", "--file-allocation=none"]
        command += ["--check-integrity=true", "--auto-save-interval=0", "--summary-interval=0"]
        command += [f"--on-bt-download-complete={self.script}", "--bt-max-peers=20"]
        return self._run([*command, "--console-log-level=notice", *self.options, source])

    @staticmethod
    def infohash_of(torrent: Path) -> str:
        """The infohash that it computes."""
        command = ["aria2c", "--show-files", "--no-conf", str(torrent)]
        told = subprocess.run(command, capture_output=True, text=True, timeout=READY, check=True).stdout
        return re.search(r"Info Hash: (\w+)", told)[1]

    def is_complete(self) -> bool:
        return self.done.exists()

    def await_complete(self, seconds: float = COMPLETE) -> "Aria2":
        super().await_complete(seconds)
        # Its control file lies beside what it fetches until it ends.
        self.process.stop()
        return self


class WebTorrent(Peer):
    NAME = "webtorrent"

    def _begin(self, source: str, peers: list[str]) -> "WebTorrent":
        if peers:
            raise CaseError("wt_peer.mjs is not told peers")
        return self._run(["node", "--import", HERE / "no_webrtc.mjs", HERE / "wt_peer.mjs", self.case.modules, source, self.folder, self.port])

    def is_ready(self) -> bool:
        return self.is_listening() and bool(self.events("complete" if self.seeds else "known"))

    def is_complete(self) -> bool:
        return bool(self.events("complete"))


class Tracker:
    """A program that tells peers of each other."""

    def __init__(self, case: Case, infohashes: list[str] | None = None, family: int = 4):
        self.host = case.host(family)
        self.port = free_port(self.host)
        self.address = endpoint(self.host, self.port)
        self.start(case, infohashes or [])
        wait_for(self._up, READY, f"{self.process.name} is up")

    def _up(self) -> bool:
        self.process.alive()
        return listening(self.port) and listening(self.port, "udp")

    def start(self, case: Case, infohashes: list[str]) -> None:
        raise NotImplementedError

    def url(self, scheme: str) -> str:
        return f"{scheme}://{self.address}/announce"


class ShoalTracker(Tracker):
    def start(self, case: Case, infohashes: list[str]) -> None:
        command = [case.shoal, "tracker", "--listen", self.address, "--json", "--report", "1s"]
        self.process = Process(case, "shoal-tracker", command)

    def counts(self) -> dict:
        lines = [line for line in self.process.text().splitlines() if '"stats"' in line]
        return json.loads(lines[-1]) if lines else {"peers": 0}

    def await_peers(self, count: int) -> None:
        """Waits until so many peers are known."""
        wait_for(lambda: self.counts()["peers"] >= count, READY, f"the tracker knows {count} peers")


class OpenTracker(Tracker):
    def start(self, case: Case, infohashes: list[str]) -> None:
        folder = case.folder("opentracker")
        (folder / "allowed").write_text("".join(f"{infohash}\n" for infohash in infohashes))
        folder.chmod(0o755)
        command = ["opentracker", "-i", self.host, "-p", self.port, "-P", self.port]
        command += ["-d", folder, "-u", "nobody", "-w", "allowed"]
        self.process = Process(case, "opentracker", command)


class BittorrentTracker(Tracker):
    def start(self, case: Case, infohashes: list[str]) -> None:
        program = [HERE / "bt_tracker.mjs", case.modules, self.host, self.port]
        command = ["node", "--import", HERE / "no_webrtc.mjs", *program]
        self.process = Process(case, "bittorrent-tracker", command)


class RangeServer:
    """A web server of `folder`."""

    def __init__(self, case: Case, folder: Path):
        self.host = case.host()
        self.port = free_port(self.host)
        self.url = f"http://{self.host}:{self.port}/"
        self.process = Process(
            case, "range-server", [sys.executable, HERE / "range_server.py", folder, self.host, self.port]
        )
        wait_for(lambda: listening(self.port), READY, "the web server is up")

    def served_ranges(self) -> int:
        return sum(line.endswith(" 206") for line in self.process.text().splitlines())
