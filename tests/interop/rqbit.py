"""Cases with rqbit, which takes long to build: they run only when they are named.

    cargo install rqbit --version 9.1.0 --locked
    run.py 'rqbit_*'
"""

import os
import shutil
from pathlib import Path

from cases import case, check, expect_transport, magnet_of, shoal_fetches
from harness import PIECE, Case, CaseError, Payload, listening
from programs import Peer, Shoal, ShoalTracker

UTP_ONLY = ("--experimental-enable-utp-listen", "--disable-tcp-listen", "--disable-tcp-connect")


class Rqbit(Peer):
    """rqbit, which takes its listening address for nothing else: it dials and announces from any."""

    NAME = "rqbit"

    def __init__(self, case: Case, *options: str, everywhere: bool = False):
        """`everywhere` it listens on all addresses, so that a tracker names one that it listens on."""
        super().__init__(case)
        self.options = options
        self.listen = "0.0.0.0" if everywhere else self.host

    def _rqbit(self, *command: object) -> "Rqbit":
        found = os.environ.get("RQBIT") or shutil.which("rqbit")
        if found is None:
            raise CaseError("rqbit is not there; RQBIT may say where it is")
        network = ["--listen-ip", self.listen, "--listen-port", self.port, "--ipv4-only"]
        network += ["--disable-dht", "--disable-lsd", "--disable-upnp-port-forward", *self.options]
        return self._run([found, "-v", "debug", *network, *command])

    def _begin(self, source: str, peers: list[str]) -> "Rqbit":
        initial = ["--initial-peers", ",".join(peers)] if peers else []
        end = [] if self.seeds else ["--exit-on-finish"]
        command = ["download", "--overwrite", "--disable-http-api", "--output-folder", self.folder, *end]
        return self._rqbit(*command, *initial, source)

    def share(self, root: Path) -> "Rqbit":
        """Makes a torrent and seeds it."""
        self.folder = root.parent
        self.seeds = True
        return self._rqbit("share", root)

    def magnet(self) -> str | None:
        """The link it prints when it shares."""
        return next((word for word in self.process.text().split() if word.startswith("magnet:")), None)

    def is_listening(self) -> bool:
        return listening(self.port, "udp" if "--disable-tcp-listen" in self.options else "tcp")

    def is_ready(self) -> bool:
        return self.is_listening() and (not self.seeds or "Initial check results" in self.process.text())

    def is_complete(self) -> bool:
        return self.process.code() == 0


# It knows nothing of version 2.
KINDS = ("v1", "hybrid")


def published(running: Case, payload: Payload, kind: str, *options: str) -> tuple[Shoal, Path]:
    torrent = payload.parent / "made.torrent"
    seed = Shoal(running, *options).publish(payload.root, torrent, "--piece-size", str(PIECE), f"--{kind}")
    return seed, torrent


for kind in KINDS:

    @case(f"rqbit_{kind}_fetches", kind)
    def rqbit_fetches(running: Case, kind: str) -> None:
        payload = Payload(running)
        seed, torrent = published(running, payload, kind)
        check(payload, Rqbit(running).fetch(torrent, [seed.address]).await_complete())

    @case(f"rqbit_{kind}_magnet_fetches", kind)
    def rqbit_magnet_fetches(running: Case, kind: str) -> None:
        payload = Payload(running)
        seed, _ = published(running, payload, kind)
        check(payload, Rqbit(running).fetch(seed.magnet(), [seed.address]).await_complete())

    @case(f"rqbit_{kind}_seeds", kind)
    def rqbit_seeds(running: Case, kind: str) -> None:
        payload = Payload(running)
        maker, torrent = published(running, payload, kind)
        maker.process.stop()
        seed = Rqbit(running).seed(torrent, payload.parent).await_ready()
        check(payload, Shoal(running).fetch(torrent, [seed.address]).await_complete())


@case("rqbit_share_magnet")
def rqbit_share_magnet(running: Case) -> None:
    """It makes the torrent, and Shoal knows nothing but its link."""
    payload = Payload(running)
    seed = Rqbit(running).share(payload.root).await_ready()
    check(payload, Shoal(running).fetch(seed.magnet(), [seed.address]).await_complete())


@case("rqbit_dialled_fetches")
def rqbit_dialled_fetches(running: Case) -> None:
    """Shoal seeds and dials."""
    payload = Payload(running)
    torrent = payload.torrent()
    fetch = Rqbit(running).fetch(torrent).await_ready()
    Shoal(running).seed(torrent, payload.parent, [fetch.address])
    check(payload, fetch.await_complete())


@case("rqbit_magnet_seeds")
def rqbit_magnet_seeds(running: Case) -> None:
    payload = Payload(running)
    seed = Rqbit(running).seed(payload.torrent(), payload.parent).await_ready()
    check(payload, Shoal(running).fetch(magnet_of(payload), [seed.address]).await_complete())


@case("rqbit_utp_only_seeds")
def rqbit_utp_only_seeds(running: Case) -> None:
    expect_transport(shoal_fetches(running, Rqbit(running, *UTP_ONLY)), "utp")


@case("rqbit_utp_only_fetches")
def rqbit_utp_only_fetches(running: Case) -> None:
    payload = Payload(running)
    seed, torrent = published(running, payload, "v1")
    check(payload, Rqbit(running, *UTP_ONLY).fetch(torrent, [seed.address]).await_complete())
    expect_transport(seed, "utp")


for scheme in ("http", "udp"):

    @case(f"rqbit_shoal_tracker_{scheme}", scheme)
    def rqbit_shoal_tracker(running: Case, scheme: str) -> None:
        payload = Payload(running)
        tracker = ShoalTracker(running)
        torrent = payload.torrent([tracker.url(scheme)])
        Rqbit(running, everywhere=True).seed(torrent, payload.parent).await_ready()
        tracker.await_peers(1)
        check(payload, Rqbit(running, everywhere=True).fetch(torrent).await_complete())
