"""The cases: who shares with whom, how, and what must have come of it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import libtorrent as lt

from harness import PIECE, Case, CaseError, Payload, wait_for
from programs import (
    HERE,
    LIBTORRENT_NEVER_DIALS,
    LIBTORRENT_RC4_ONLY,
    LIBTORRENT_TCP_ONLY,
    LIBTORRENT_UTP_ONLY,
    Aria2,
    BittorrentTracker,
    Libtorrent,
    OpenTracker,
    Peer,
    RangeServer,
    Shoal,
    ShoalTracker,
    Tracker,
    Transmission,
    WebTorrent,
)

CASES: dict[str, Callable[[Case], None]] = {}
PROGRAMS = (Libtorrent, Transmission, Aria2, WebTorrent)


def case(name: str, *arguments: object) -> Callable:
    """Adds a function to the cases, with what it takes behind the case itself."""

    def add(function: Callable) -> Callable:
        if name in CASES:
            raise ValueError(name)
        CASES[name] = lambda running: function(running, *arguments)
        CASES[name].__doc__ = function.__doc__
        return function

    return add


def expect(holds: object, what: str) -> None:
    if not holds:
        raise CaseError(what)


def check(payload: Payload, peer: Peer) -> None:
    # Some programs make no empty files, and some make padding.
    own = isinstance(peer, Shoal | Libtorrent)
    payload.check(peer.folder, empty=not isinstance(peer, Transmission), padding=not own)


def shoal_fetches(running: Case, seed: Peer, *options: str, payload: Payload | None = None) -> Shoal:
    """Shoal dials `seed` and fetches."""
    payload = payload or Payload(running)
    torrent = payload.torrent()
    seed.seed(torrent, payload.parent).await_ready()
    fetch = Shoal(running, *options).fetch(torrent, [seed.address]).await_complete()
    check(payload, fetch)
    return fetch


def shoal_seeds(running: Case, fetch: Peer, *options: str) -> Shoal:
    """Shoal dials `fetch`, which fetches."""
    payload = Payload(running)
    torrent = payload.torrent()
    fetch.fetch(torrent).await_ready()
    seed = Shoal(running, *options).seed(torrent, payload.parent, [fetch.address])
    fetch.await_complete()
    check(payload, fetch)
    return seed


# Two programs, and Shoal dials.


def each_program(function: Callable) -> Callable:
    for program in PROGRAMS:
        case(f"{program.NAME}_{function.__name__}", program)(function)
    return function


@each_program
def seeds(running: Case, program: type[Peer]) -> None:
    shoal_fetches(running, program(running))


@each_program
def fetches(running: Case, program: type[Peer]) -> None:
    shoal_seeds(running, program(running))


@case("libtorrent_dials_seed")
def libtorrent_dials_seed(running: Case) -> None:
    payload = Payload(running)
    torrent = payload.torrent()
    seed = Shoal(running).seed(torrent, payload.parent).await_ready()
    fetch = Libtorrent(running).fetch(torrent, [seed.address]).await_complete()
    check(payload, fetch)


# Trackers.


def shared_by(running: Case, tracker: ShoalTracker, scheme: str, program: type[Peer]) -> None:
    """Two of a program meet by Shoal's tracker."""
    payload = Payload(running)
    torrent = payload.torrent([tracker.url(scheme)])
    program(running).seed(torrent, payload.parent).await_ready()
    tracker.await_peers(1)
    fetch = program(running).fetch(torrent).await_complete()
    check(payload, fetch)
    counts = tracker.counts
    wait_for(lambda: counts()[f"{scheme}_announces"] >= 2, 10, f"two announces over {scheme}")


for scheme in ("http", "udp"):
    for program in (*PROGRAMS, Shoal):

        @case(f"shoal_tracker_{scheme}_{program.NAME}", scheme, program)
        def shoal_tracker(running: Case, scheme: str, program: type[Peer]) -> None:
            shared_by(running, ShoalTracker(running), scheme, program)

    for kind in (OpenTracker, BittorrentTracker):
        name = {OpenTracker: "opentracker", BittorrentTracker: "bittorrent_tracker"}[kind]

        @case(f"{name}_{scheme}", scheme, kind)
        def other_tracker(running: Case, scheme: str, kind: type[Tracker]) -> None:
            payload = Payload(running)
            tracker = kind(running, [payload.infohash()])
            torrent = payload.torrent([tracker.url(scheme)])
            Shoal(running).seed(torrent, payload.parent).await_announced()
            fetch = Shoal(running).fetch(torrent).await_complete()
            check(payload, fetch)
            counted = fetch.progress()["trackers"]
            expect(counted and counted[0]["seeds"], f"a seed is counted, not {counted}")


@case("shoal_tracker_http_ipv6")
def shoal_tracker_http_ipv6(running: Case) -> None:
    ipv6_tracker(running, "http")


@case("shoal_tracker_udp_ipv6")
def shoal_tracker_udp_ipv6(running: Case) -> None:
    ipv6_tracker(running, "udp")


def ipv6_tracker(running: Case, scheme: str) -> None:
    payload = Payload(running)
    tracker = ShoalTracker(running, family=6)
    torrent = payload.torrent([tracker.url(scheme)])
    Libtorrent(running, family=6).seed(torrent, payload.parent).await_ready()
    tracker.await_peers(1)
    fetch = Shoal(running, family=6).fetch(torrent).await_complete()
    check(payload, fetch)


# Magnet links.


def magnet_of(payload: Payload, *trackers: str) -> str:
    link = f"magnet:?xt=urn:btih:{payload.infohash()}&dn={payload.NAME}"
    return link + "".join(f"&tr={quote(url, safe='')}" for url in trackers)


@each_program
def magnet_seeds(running: Case, program: type[Peer]) -> None:
    payload = Payload(running)
    seed = program(running).seed(payload.torrent(), payload.parent).await_ready()
    fetch = Shoal(running).fetch(magnet_of(payload), [seed.address]).await_complete()
    check(payload, fetch)


@each_program
def magnet_fetches(running: Case, program: type[Peer]) -> None:
    payload = Payload(running)
    tracker = ShoalTracker(running)
    torrent = payload.torrent([tracker.url("http")])
    Shoal(running).seed(torrent, payload.parent).await_announced()
    fetch = program(running).fetch(magnet_of(payload, tracker.url("http"))).await_complete()
    check(payload, fetch)


# Obfuscation: each side insists in turn, and the other must follow.


def expect_encrypted(shoal: Shoal) -> None:
    wait_for(lambda: any(peer["encrypted"] for peer in shoal.met()), 10, "Shoal saw the obfuscation")


@case("libtorrent_rc4_only_seeds")
def libtorrent_rc4_only_seeds(running: Case) -> None:
    expect_encrypted(shoal_fetches(running, Libtorrent(running, **LIBTORRENT_RC4_ONLY)))


@case("libtorrent_rc4_only_fetches")
def libtorrent_rc4_only_fetches(running: Case) -> None:
    expect_encrypted(shoal_seeds(running, Libtorrent(running, **LIBTORRENT_RC4_ONLY)))


@case("libtorrent_rc4_only_dials_seed")
def libtorrent_rc4_only_dials_seed(running: Case) -> None:
    payload = Payload(running)
    torrent = payload.torrent()
    seed = Shoal(running).seed(torrent, payload.parent).await_ready()
    fetch = Libtorrent(running, **LIBTORRENT_RC4_ONLY).fetch(torrent, [seed.address]).await_complete()
    check(payload, fetch)
    expect(fetch.rc4(), "libtorrent saw the obfuscation")


@case("shoal_requires_encryption_of_libtorrent_seed")
def shoal_requires_encryption_of_libtorrent_seed(running: Case) -> None:
    expect_encrypted(shoal_fetches(running, Libtorrent(running), "--encryption", "require"))


@case("shoal_requires_encryption_of_libtorrent_fetch")
def shoal_requires_encryption_of_libtorrent_fetch(running: Case) -> None:
    expect_encrypted(shoal_seeds(running, Libtorrent(running), "--encryption", "require"))


@case("transmission_requires_encryption_seeds")
def transmission_requires_encryption_seeds(running: Case) -> None:
    expect_encrypted(shoal_fetches(running, Transmission(running, encryption=2)))


@case("transmission_requires_encryption_fetches")
def transmission_requires_encryption_fetches(running: Case) -> None:
    expect_encrypted(shoal_seeds(running, Transmission(running, encryption=2)))


@case("aria2_requires_encryption_seeds")
def aria2_requires_encryption_seeds(running: Case) -> None:
    expect_encrypted(shoal_fetches(running, Aria2(running, require_encryption=True)))


@case("aria2_requires_encryption_fetches")
def aria2_requires_encryption_fetches(running: Case) -> None:
    expect_encrypted(shoal_seeds(running, Aria2(running, require_encryption=True)))


# Transports.


def expect_transport(shoal: Shoal, transport: str) -> None:
    def seen() -> set[str]:
        return {peer["transport"] for peer in shoal.met() if peer["downloaded"] or peer["uploaded"]}

    wait_for(seen, 10, "Shoal counts what it exchanged")
    expect(seen() == {transport}, f"all went over {transport}, not {seen()}")


@case("libtorrent_utp_only_seeds")
def libtorrent_utp_only_seeds(running: Case) -> None:
    expect_transport(shoal_fetches(running, Libtorrent(running, **LIBTORRENT_UTP_ONLY)), "utp")


@case("libtorrent_utp_only_fetches")
def libtorrent_utp_only_fetches(running: Case) -> None:
    expect_transport(shoal_seeds(running, Libtorrent(running, **LIBTORRENT_UTP_ONLY)), "utp")


@case("libtorrent_utp_only_dials_seed")
def libtorrent_utp_only_dials_seed(running: Case) -> None:
    payload = Payload(running)
    torrent = payload.torrent()
    seed = Shoal(running).seed(torrent, payload.parent).await_ready()
    fetch = Libtorrent(running, **LIBTORRENT_UTP_ONLY).fetch(torrent, [seed.address]).await_complete()
    check(payload, fetch)
    expect_transport(seed, "utp")


@case("libtorrent_utp_only_rc4_only_seeds")
def libtorrent_utp_only_rc4_only_seeds(running: Case) -> None:
    seed = Libtorrent(running, **LIBTORRENT_UTP_ONLY, **LIBTORRENT_RC4_ONLY)
    fetch = shoal_fetches(running, seed)
    expect_transport(fetch, "utp")
    expect_encrypted(fetch)


@case("transmission_utp_seeds")
def transmission_utp_seeds(running: Case) -> None:
    expect_transport(shoal_fetches(running, Transmission(running, utp=True), "--no-tcp"), "utp")


@case("transmission_utp_fetches")
def transmission_utp_fetches(running: Case) -> None:
    expect_transport(shoal_seeds(running, Transmission(running, utp=True), "--no-tcp"), "utp")


@case("libtorrent_tcp_only_seeds")
def libtorrent_tcp_only_seeds(running: Case) -> None:
    expect_transport(shoal_fetches(running, Libtorrent(running, **LIBTORRENT_TCP_ONLY)), "tcp")


@case("libtorrent_ipv6_seeds")
def libtorrent_ipv6_seeds(running: Case) -> None:
    payload = Payload(running)
    torrent = payload.torrent()
    seed = Libtorrent(running, family=6).seed(torrent, payload.parent).await_ready()
    fetch = Shoal(running, family=6).fetch(torrent, [seed.address]).await_complete()
    check(payload, fetch)


@case("libtorrent_ipv6_fetches")
def libtorrent_ipv6_fetches(running: Case) -> None:
    payload = Payload(running)
    torrent = payload.torrent()
    seed = Shoal(running, family=6).seed(torrent, payload.parent).await_ready()
    fetch = Libtorrent(running, family=6).fetch(torrent, [seed.address]).await_complete()
    check(payload, fetch)


# Version 2.

KINDS = {"v2": lt.create_torrent.v2_only, "hybrid": 0}


def torrent_by_libtorrent(payload: Payload, kind: str) -> Path:
    storage = lt.file_storage()
    lt.add_files(storage, str(payload.root))
    torrent = lt.create_torrent(storage, PIECE, int(KINDS[kind]))
    lt.set_piece_hashes(torrent, str(payload.parent))
    path = payload.parent / f"{kind}.torrent"
    path.write_bytes(lt.bencode(torrent.generate()))
    return path


def infohash_v2(torrent: Path) -> str:
    return str(lt.torrent_info(str(torrent)).info_hashes().v2)


for kind in KINDS:

    @case(f"libtorrent_{kind}_seeds", kind)
    def libtorrent_version_seeds(running: Case, kind: str) -> None:
        payload = Payload(running)
        torrent = torrent_by_libtorrent(payload, kind)
        seed = Libtorrent(running).seed(torrent, payload.parent).await_ready()
        fetch = Shoal(running).fetch(torrent, [seed.address]).await_complete()
        check(payload, fetch)

    @case(f"libtorrent_{kind}_fetches", kind)
    def libtorrent_version_fetches(running: Case, kind: str) -> None:
        payload = Payload(running)
        torrent = payload.parent / "made.torrent"
        options = ("--piece-size", str(PIECE), f"--{kind}")
        seed = Shoal(running).publish(payload.root, torrent, *options)
        fetch = Libtorrent(running).fetch(torrent, [seed.address]).await_complete()
        check(payload, fetch)

    @case(f"libtorrent_{kind}_magnet_seeds", kind)
    def libtorrent_version_magnet_seeds(running: Case, kind: str) -> None:
        """The link names the infohash of version 2 alone."""
        payload = Payload(running)
        torrent = torrent_by_libtorrent(payload, kind)
        seed = Libtorrent(running).seed(torrent, payload.parent).await_ready()
        magnet = f"magnet:?xt=urn:btmh:1220{infohash_v2(torrent)}"
        fetch = Shoal(running).fetch(magnet, [seed.address]).await_complete()
        check(payload, fetch)

    @case(f"libtorrent_{kind}_magnet_fetches", kind)
    def libtorrent_version_magnet_fetches(running: Case, kind: str) -> None:
        payload = Payload(running)
        torrent = payload.parent / "made.torrent"
        options = ("--piece-size", str(PIECE), f"--{kind}")
        seed = Shoal(running).publish(payload.root, torrent, *options)
        fetch = Libtorrent(running).fetch(seed.magnet(), [seed.address]).await_complete()
        check(payload, fetch)


def hybrid_fetches(running: Case, payload: Payload, program: type[Peer]) -> None:
    tracker = ShoalTracker(running)
    torrent = payload.parent / "made.torrent"
    options = ("--piece-size", str(PIECE), "--tracker", tracker.url("http"))
    Shoal(running).publish(payload.root, torrent, *options).await_announced()
    fetch = program(running).fetch(torrent).await_complete()
    check(payload, fetch)


@case("aria2_hybrid_fetches")
def aria2_hybrid_fetches(running: Case) -> None:
    """aria2 1.36 leaves out what has an empty key, and so computes another infohash for any hybrid."""
    payload = Payload(running)
    theirs = torrent_by_libtorrent(payload, "hybrid")
    if Aria2.infohash_of(theirs) == str(lt.torrent_info(str(theirs)).info_hashes().v1):
        hybrid_fetches(running, payload, Aria2)


@case("webtorrent_hybrid_fetches")
def webtorrent_hybrid_fetches(running: Case) -> None:
    hybrid_fetches(running, Payload(running), WebTorrent)


@case("transmission_hybrid_fetches")
def transmission_hybrid_fetches(running: Case) -> None:
    """Transmission 3.00 takes no torrent in which a key is empty, as in every file tree of version 2.

    Its `get_node` (variant-benc.c) takes the empty key for none at all. So it must refuse libtorrent's
    hybrid if it refuses ours.
    """
    payload = Payload(running)
    plain = payload.torrent()
    theirs = torrent_by_libtorrent(payload, "hybrid")
    ours = payload.parent / "ours.torrent"
    publish = [running.shoal, "publish", "--no-seed", "--piece-size", PIECE, "--output", ours, payload.root]
    subprocess.run([str(word) for word in publish], check=True, capture_output=True)
    transmission = Transmission(running).idle()
    expect(transmission.takes(plain), "a torrent of version 1 is taken")
    if not transmission.takes(theirs):
        empty_key = payload.parent / "empty-key.torrent"
        empty_key.write_bytes(plain.read_bytes()[:-1] + b"1:zd0:i0eee")
        expect(not transmission.takes(empty_key), "the empty key is why")
        expect(not transmission.takes(ours), "ours is like libtorrent's")
    else:
        expect(transmission.takes(ours), "ours is like libtorrent's")


@case("create_vs_libtorrent")
def create_vs_libtorrent(running: Case) -> None:
    program = HERE / "create_vs_libtorrent.py"
    ended = subprocess.run(
        [sys.executable, program, running.shoal], capture_output=True, text=True, timeout=120, check=False
    )
    expect(ended.returncode == 0, (ended.stdout + ended.stderr)[-2000:])


# Web seeds (BEP 19).


@case("web_seed")
def web_seed(running: Case) -> None:
    payload = Payload(running)
    server = RangeServer(running, payload.parent)
    fetch = Shoal(running).fetch(payload.torrent(web_seeds=[server.url])).await_complete()
    check(payload, fetch)
    expect(server.served_ranges() > 0, "ranges were asked for")


@case("web_seed_v2")
def web_seed_v2(running: Case) -> None:
    """One file, named whole by the URL."""
    payload = Payload(running, {"only.bin": 2_000_003})
    server = RangeServer(running, payload.root)
    only = payload.root / "only.bin"
    torrent = payload.parent / "only.torrent"
    command = [running.shoal, "publish", "--no-seed", "--v2", "--piece-size", PIECE]
    command += ["--web-seed", server.url + "only.bin", "--output", torrent, only]
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
    fetch = Shoal(running).fetch(torrent).await_complete()
    expect((fetch.folder / "only.bin").read_bytes() == only.read_bytes(), "the file is right")


# Swarms.


@case("swarm_of_five_programs")
def swarm_of_five_programs(running: Case) -> None:
    payload = Payload(running)
    tracker = ShoalTracker(running)
    torrent = payload.torrent([tracker.url("http")])
    Shoal(running).seed(torrent, payload.parent).await_announced()
    fetches = [program(running).fetch(torrent) for program in (*PROGRAMS, Shoal)]
    for fetch in fetches:
        fetch.await_complete()
        check(payload, fetch)


@case("pex_by_libtorrent")
def pex_by_libtorrent(running: Case) -> None:
    """Shoal hears of the seed from a libtorrent that itself has nearly nothing."""
    payload = Payload(running)
    torrent = payload.torrent()
    seed = Shoal(running).seed(torrent, payload.parent).await_ready()
    hub = Libtorrent(running, download_rate_limit=4096).fetch(torrent, [seed.address]).await_ready()
    fetch = Shoal(running).fetch(torrent, [hub.address]).await_complete(120)
    check(payload, fetch)
    expect(not hub.is_complete(), "the one in the middle stayed without")


@case("pex_by_shoal")
def pex_by_shoal(running: Case) -> None:
    """libtorrent hears of the seed from a Shoal that itself has nearly nothing."""
    payload = Payload(running)
    torrent = payload.torrent()
    seed = Libtorrent(running).seed(torrent, payload.parent).await_ready()
    hub = Shoal(running, "--down", "4K").fetch(torrent, [seed.address])
    wait_for(lambda: hub.events("listening") and hub.progress()["peers"], 20, "the two have met")
    fetch = Libtorrent(running).fetch(torrent, [hub.address]).await_complete(120)
    check(payload, fetch)
    expect(not hub.is_complete(), "the one in the middle stayed without")


# Local service discovery (BEP 14).


@case("lsd_hears_libtorrent")
def lsd_hears_libtorrent(running: Case) -> None:
    payload = Payload(running)
    torrent = payload.torrent()
    fetch = Shoal(running, lan=True).fetch(torrent)
    fetch.await_listening()
    Libtorrent(running, lan=True, **LIBTORRENT_NEVER_DIALS).seed(torrent, payload.parent)
    check(payload, fetch.await_complete())


@case("lsd_heard_by_libtorrent")
def lsd_heard_by_libtorrent(running: Case) -> None:
    payload = Payload(running)
    torrent = payload.torrent()
    fetch = Libtorrent(running, lan=True).fetch(torrent).await_ready()
    seed = Shoal(running, lan=True).seed(torrent, payload.parent)
    check(payload, fetch.await_complete())
    wait_for(lambda: fetch.has_heard(seed.address), 10, "libtorrent heard of the seed")


@case("lsd_tells_the_v2_hash_of_a_hybrid")
def lsd_tells_the_v2_hash_of_a_hybrid(running: Case) -> None:
    """libtorrent knows nothing but that hash."""
    payload = Payload(running)
    seed = Shoal(running, lan=True).publish(payload.root, payload.parent / "made.torrent")
    infohash = infohash_v2(payload.parent / "made.torrent")
    seed.process.stop()
    fetch = Libtorrent(running, lan=True).fetch(f"magnet:?xt=urn:btmh:1220{infohash}").await_ready()
    seed = Shoal(running, lan=True).seed(payload.parent / "made.torrent", payload.parent)
    check(payload, fetch.await_complete())
    wait_for(lambda: fetch.has_heard(seed.address), 10, "libtorrent heard of the seed")


# Crashes.


@case("resume_after_kill")
def resume_after_kill(running: Case) -> None:
    payload = Payload(running)
    torrent = payload.torrent()
    seed = Libtorrent(running, upload_rate_limit=1_000_000).seed(torrent, payload.parent).await_ready()
    first = Shoal(running).fetch(torrent, [seed.address])
    wait_for(lambda: first.progress()["bytes_have"] > payload.length // 3, 30, "a third is there")
    had = first.progress()["bytes_have"]
    expect(had < payload.length, "it is not complete yet")
    first.process.kill()
    second = Shoal(running)
    second.folder = first.folder
    second.fetch(torrent, [seed.address]).await_complete()
    check(payload, second)
    again = second.progress()["downloaded"]
    # What was under way when it died, and the journal's last second, come again.
    expect(again < payload.length - had // 2, f"had {had}, and fetched {again} of {payload.length} again")
