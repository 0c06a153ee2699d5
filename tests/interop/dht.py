"""The cases of the DHT: each program stores what each other one reads, with Shoal's nodes between them
or beside them; and magnets are fetched without any tracker."""

import json
import subprocess
import sys

from cases import case, check, expect
from harness import Case, CaseError, Payload, Process, endpoint, free_port, wait_for
from programs import HERE, READY, Libtorrent, Peer, Shoal

# RFC 8032, section 7.1: seeds and public keys of the first tests, one for each program.
KEYS = {
    "libtorrent": (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    ),
    "bittorrent_dht": (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    ),
    "mainline": (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
    ),
    "shoal": (
        "f5e5767cf153319517630f226876b86c8160cc583bc013744c6bf255f5cc0ee5",
        "278117fc144c72340f67d0f2316e8386ceffbf2b2428c9c51fef7c597f1d426e",
    ),
}
SALT = b"salt".hex()
PORT = 7_777


class Node:
    """A program's node of the DHT that is told what to do by lines."""

    NAME = ""

    def __init__(self, running: Case, known: list[str], count: int = 1):
        self.places = []
        for _ in range(count):
            host = running.dht_host()
            self.places.append(endpoint(host, free_port(host)))
        self.process = Process(running, self.NAME, self.command(running, known), talks=True)
        self.answers = 0
        self._until(lambda: "ready" in self.process.text().splitlines(), "is ready")

    def command(self, running: Case, known: list[str]) -> list:
        raise NotImplementedError

    def _until(self, condition: object, what: str) -> object:
        def check() -> object:
            found = condition()
            if not found:
                self.process.alive()
            return found

        return wait_for(check, READY, f"{self.NAME} {what}")

    def ask(self, *words: object) -> str:
        """The answer to a command; empty if there is none."""
        self.process.tell(" ".join(map(str, words)))
        self.answers += 1

        def answered() -> list[str]:
            lines = [line[2:] for line in self.process.text().splitlines() if line.startswith("= ")]
            return lines[self.answers - 1 : self.answers]

        answer = self._until(answered, f"answers {words}")[0]
        if answer.startswith("error"):
            raise CaseError(f"{self.NAME} {words}: {answer}")
        return "" if answer == "-" else answer

    def put(self, value: str) -> str:
        return self.ask("put", value)

    def get(self, target: str) -> str:
        return self.ask("get", target)

    def put_mutable(self, keys: tuple[str, str], seq: int, value: str) -> None:
        self.ask("put_mutable", *keys, SALT, seq, value)

    def get_mutable(self, public: str) -> str:
        return self.ask("get_mutable", public, SALT)

    def announce(self, info_hash: str) -> None:
        self.ask("announce", info_hash, PORT)

    def peers(self, info_hash: str) -> list[str]:
        return self.ask("get_peers", info_hash).split()

    def end(self) -> None:
        self.process.kill()


class LibtorrentNode(Node):
    NAME = "libtorrent"

    def command(self, running: Case, known: list[str]) -> list:
        return [sys.executable, HERE / "lt_dht.py", ",".join(self.places), *known]


class BittorrentDhtNode(Node):
    NAME = "bittorrent_dht"

    def command(self, running: Case, known: list[str]) -> list:
        return ["node", HERE / "bt_dht.mjs", running.modules, self.places[0], *known]


class MainlineNode(Node):
    NAME = "mainline"

    def command(self, running: Case, known: list[str]) -> list:
        return [running.mainline, self.places[0], *known]


class ShoalCommands:
    """The same by commands of Shoal, each of which makes a node that does one thing and leaves."""

    NAME = "shoal"

    def __init__(self, running: Case, known: list[str]):
        self.running = running
        self.known = [word for node in known for word in ("--bootstrap", node)]
        self.keys = running.folder(f"shoal-keys-{running.hosts}")

    def _run(self, words: list, value: str = "") -> dict:
        command = [self.running.shoal, "dht", *words, *self.known, "--state", self.keys, "--json"]
        ended = subprocess.run(
            [str(word) for word in command], input=bytes.fromhex(value), capture_output=True, check=False
        )
        if ended.returncode == 1:
            return {}
        expect(ended.returncode == 0, f"{words}: {ended.returncode} {ended.stderr.decode()}")
        return json.loads(ended.stdout)

    def put(self, value: str) -> str:
        return self._run(["put"], value).get("key", "")

    def get(self, target: str) -> str:
        return self._run(["get", target]).get("value_hex", "")

    def put_mutable(self, keys: tuple[str, str], seq: int, value: str) -> None:
        path = self.keys / "key"
        path.write_text(keys[0])
        path.chmod(0o600)
        told = ["put", "--mutable", "--key-file", path, "--seq", seq, "--salt", bytes.fromhex(SALT).decode()]
        stored = self._run(told, value)
        expect(stored.get("public_key") == keys[1], f"stored under the key: {stored}")

    def get_mutable(self, public: str) -> str:
        salt = bytes.fromhex(SALT).decode()
        found = self._run(["get", "--public-key", public, "--salt", salt])
        return f"{found['seq']} {found['value_hex']}" if found else ""

    def announce(self, info_hash: str) -> None:
        raise CaseError("Shoal announces what it publishes")

    def peers(self, info_hash: str) -> list[str]:
        return self._run(["lookup", info_hash, "--peers"]).get("peers", [])

    def end(self) -> None:
        """There is nothing to end."""


NODES = (LibtorrentNode, BittorrentDhtNode, MainlineNode, ShoalCommands)


def shoal_node(running: Case, known: list[str]) -> str:
    """A node of Shoal that stays; where it is."""
    host = running.dht_host()
    place = endpoint(host, free_port(host))
    begin = [word for node in known for word in ("--bootstrap", node)]
    command = [running.shoal, "dht", "join", "--listen", place, *begin, "--json"]
    # One host asks for all, here.
    process = Process(running, "shoal-dht", [*command, "--queries-per-host", 0])

    def joined() -> bool:
        process.alive()
        return '"event":"joined"' in process.text()

    wait_for(joined, READY, "a node of Shoal has joined")
    return place


def shoal_network(running: Case, count: int) -> list[str]:
    places: list[str] = []
    for _ in range(count):
        places.append(shoal_node(running, places[:1]))
    return places


class Stored:
    """What one program has stored."""

    def __init__(self, node: Node | ShoalCommands):
        self.name = node.NAME
        self.keys = KEYS[self.name]
        self.value = f"from {self.name}".encode().hex()
        self.replaced = f"replaced by {self.name}".encode().hex()
        self.info_hash = (self.name.encode().hex() + "00" * 20)[:40]
        self.target = node.put(self.value)
        expect(self.target, f"{self.name} has stored a value")
        node.put_mutable(self.keys, 1, self.value)
        node.put_mutable(self.keys, 2, self.replaced)
        # Shoal announces only what it publishes; that has cases of its own.
        self.announces = not isinstance(node, ShoalCommands)
        if self.announces:
            node.announce(self.info_hash)
        self.place = None if isinstance(node, ShoalCommands) else {place.split(":")[0] for place in node.places}

    def read(self, reader: Node | ShoalCommands) -> None:
        def reads(what: str, read: object, expected: object) -> None:
            last: list = []

            def is_right() -> bool:
                last[:] = [read()]
                return expected(last[0])

            # Announces take their time in some programs.
            try:
                wait_for(is_right, 20, "")
            except CaseError as error:
                raise CaseError(f"{reader.NAME} reads {what} of {self.name}: {last}") from error

        reads("the value", lambda: reader.get(self.target), lambda found: found == self.value)
        reads(
            "the replaced item",
            lambda: reader.get_mutable(self.keys[1]),
            lambda found: found.split()[1:] == [self.replaced],
        )
        if self.announces:
            at = {f"{host}:{PORT}" for host in self.place}
            reads("the peer", lambda: reader.peers(self.info_hash), lambda found: at & set(found))


for writer in NODES:

    @case(f"dht_{writer.NAME}_stores_at_shoal", writer)
    def stores_at_shoal(running: Case, writer: type) -> None:
        """What a program stored is with Shoal's nodes alone when the others read it."""
        places = shoal_network(running, 4)
        node = writer(running, places[:1])
        stored = Stored(node)
        node.end()
        for reader in NODES:
            reading = reader(running, places[1:2])
            stored.read(reading)
            reading.end()


@case("dht_ten_libtorrent_nodes")
def ten_libtorrent_nodes(running: Case) -> None:
    """Shoal as one of many in a network of others, which all of them read from and store in."""
    ten = LibtorrentNode(running, [], count=10)
    place = shoal_node(running, ten.places[:1])
    others = [program(running, [place]) for program in (BittorrentDhtNode, MainlineNode, ShoalCommands)]
    everybody = [ten, *others]
    for stored in [Stored(node) for node in everybody]:
        for node in everybody:
            stored.read(node)


# Magnets.

LIBTORRENT_DHT = {
    "enable_dht": True,
    "dht_restrict_routing_ips": False,
    "dht_restrict_search_ips": False,
    "dht_enforce_node_id": False,
    "dht_prefer_verified_node_ids": False,
    "dht_upload_rate_limit": 1 << 30,
    "dht_announce_interval": 5,
}


def move(running: Case, peer: Peer) -> Peer:
    """Gives a peer that has not begun the address of a node."""
    peer.host = running.dht_host()
    peer.port = free_port(peer.host)
    peer.address = endpoint(peer.host, peer.port)
    return peer


def magnet(payload: Payload) -> str:
    return f"magnet:?xt=urn:btih:{payload.infohash()}"


def libtorrent_with(place: str) -> dict:
    return LIBTORRENT_DHT | {"dht_bootstrap_nodes": place}


@case("dht_magnet_libtorrent_seeds")
def magnet_libtorrent_seeds(running: Case) -> None:
    payload = Payload(running)
    place = shoal_node(running, [])
    seed = move(running, Libtorrent(running, **libtorrent_with(place)))
    seed.seed(payload.torrent(), payload.parent).await_ready()
    fetch = move(running, Shoal(running, "--no-pex", "--dht-bootstrap", place))
    check(payload, fetch.fetch(magnet(payload)).await_complete(120))


@case("dht_magnet_libtorrent_fetches")
def magnet_libtorrent_fetches(running: Case) -> None:
    payload = Payload(running)
    place = shoal_node(running, [])
    seed = move(running, Shoal(running, "--no-pex", "--dht-bootstrap", place))
    seed.seed(payload.torrent(), payload.parent).await_ready()
    fetch = move(running, Libtorrent(running, **libtorrent_with(place)))
    check(payload, fetch.fetch(magnet(payload)).await_complete(120))


@case("dht_magnet_libtorrent_is_the_only_other_node")
def magnet_libtorrent_is_the_only_other_node(running: Case) -> None:
    """Two programs, and nobody between them."""
    payload = Payload(running)
    seed = move(running, Shoal(running, "--no-pex"))
    seed.seed(payload.torrent(), payload.parent).await_ready()
    fetch = move(running, Libtorrent(running, **libtorrent_with(seed.address)))
    check(payload, fetch.fetch(magnet(payload)).await_complete(120))


@case("dht_magnet_shoal")
def magnet_shoal(running: Case) -> None:
    payload = Payload(running)
    seed = move(running, Shoal(running, "--no-pex"))
    seed.seed(payload.torrent(), payload.parent).await_ready()
    fetch = move(running, Shoal(running, "--no-pex", "--dht-bootstrap", seed.address))
    check(payload, fetch.fetch(magnet(payload)).await_complete(120))


@case("dht_port_message_of_libtorrent")
def port_message_of_libtorrent(running: Case) -> None:
    """Shoal knows no node until a peer names its own, by which the DHT is entered."""
    payload = Payload(running)
    torrent = payload.torrent()
    place = shoal_node(running, [])
    seed = move(running, Libtorrent(running, **libtorrent_with(place)))
    seed.seed(torrent, payload.parent).await_ready()
    fetch = move(running, Shoal(running, "--no-pex", "--seed"))
    fetch.fetch(torrent, [seed.address])
    fetch.await_listening()
    commands = ShoalCommands(running, [place])
    wait_for(
        lambda: fetch.address in commands.peers(payload.infohash()), 60, "Shoal is listed as a peer in the DHT"
    )
