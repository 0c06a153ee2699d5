"""Cases with Napster: a client that does what napster.txt says and nothing else, against `shoal index`.

It shares nothing with the implementation: messages are written here by hand from the document.
"""

import hashlib
import socket
import struct
import threading

from cases import case
from harness import Case, CaseError, Process, free_port, listening, wait_for


def expect(is_so: object, what: str) -> None:
    if not is_so:
        raise CaseError(f"not so: {what}")


class Scripted:
    """A client of Napster, one call after another."""

    def __init__(self, server: tuple[str, int], nick: str, listener: socket.socket | None = None):
        """It listens with `listener`, from whose address it comes, or accepts no peers."""
        host, port = listener.getsockname() if listener else ("", 0)
        self.server = socket.create_connection(server, timeout=20, source_address=(host, 0))
        self.nick, self.port, self.held = nick, port, b""

    def login(self, password: str = "secret") -> "Scripted":
        self.say(2, f'{self.nick} {password} {self.port} "nap v0.8" 8')
        return self

    def say(self, kind: int, body: str = "") -> None:
        data = body.encode()
        self.server.sendall(struct.pack("<HH", len(data), kind) + data)

    def hear(self) -> tuple[int, str]:
        while len(self.held) < 4 or len(self.held) < 4 + struct.unpack("<H", self.held[:2])[0]:
            more = self.server.recv(65536)
            expect(more, f"{self.nick}: the server has closed the connection")
            self.held += more
        length, kind = struct.unpack("<HH", self.held[:4])
        body, self.held = self.held[4 : 4 + length], self.held[4 + length :]
        return kind, body.decode()

    def until(self, *kinds: int) -> list[tuple[int, str]]:
        """All that comes up to a message of one of these kinds, that one included."""
        heard = [self.hear()]
        while heard[-1][0] not in kinds:
            heard.append(self.hear())
        return heard


def start(running: Case, *options: str) -> tuple[str, int]:
    host = running.host()
    port = free_port(host)
    state = running.folder("index")
    command = [running.shoal, "index", "--listen", f"{host}:{port}", "--state", state, *options]
    Process(running, "index", command)
    wait_for(lambda: listening(port), 20, "the index listens")
    return host, port


def read_until(peer: socket.socket, end: int) -> bytes:
    data = b""
    while len(data) < end:
        more = peer.recv(65536)
        if not more:
            break
        data += more
    return data


@case("opennap_script_shares_searches_and_fetches")
def opennap_script_shares_searches_and_fetches(running: Case) -> None:
    server = start(running)
    content = b"\xff\xfb" + bytes(range(256)) * 100
    checksum = hashlib.md5(content).hexdigest()
    name = "C:\\MP3\\generic band - generic song.mp3"

    listener = socket.create_server((running.host(), 0))
    owner = Scripted(server, "lefty", listener).login()
    heard = owner.until(621)
    expect(heard[0][0] == 3, f"the login is acknowledged: {heard}")
    owner.say(100, f'"{name}" {checksum} {len(content)} 128 44100 60')

    seeker = Scripted(server, "mred").login()
    seeker.until(214)

    def found() -> list[tuple[int, str]] | None:
        seeker.say(200, 'FILENAME CONTAINS "generic song" MAX_RESULTS 75 BITRATE "AT LEAST" "128"')
        hits = [message for message in seeker.until(202) if message[0] == 201]
        return hits or None

    hits = wait_for(found, 20, "the file is found")
    fields = hits[0][1].split('" ')[1].split()
    expect(fields[:6] == [checksum, str(len(content)), "128", "44100", "60", "lefty"], f"the hit: {hits}")
    host, _ = listener.getsockname()
    address = struct.unpack("<I", socket.inet_aton(host))[0]
    expect(int(fields[6]) == address, f"the address: {fields}")

    def owner_sends() -> None:
        owner.until(607)
        owner.say(608, f'mred "{name}"')
        while True:
            peer, _ = listener.accept()
            try:
                peer.sendall(b"1")
                asked = peer.recv(4096)
            except ConnectionError:
                asked = b""
            if not asked:
                continue  # The server has tried whether the port can be reached.
            while not asked[-1:].isdigit():
                asked += peer.recv(4096)
            offset = int(asked.rsplit(b" ", 1)[1])
            expect(asked == f'GETmred "{name}" {offset}'.encode(), f"the request: {asked}")
            peer.sendall(str(len(content)).encode() + content[offset:])
            peer.close()
            return

    sending = threading.Thread(target=owner_sends)
    sending.start()
    seeker.say(203, f'lefty "{name}"')
    ready = seeker.until(204, 206)[-1]
    expect(ready[0] == 204, f"the file can be fetched: {ready}")
    port = int(ready[1].split()[2])
    with socket.create_connection((host, port), timeout=20) as peer:
        expect(peer.recv(1) == b"1", "the greeting")
        peer.sendall(b"GET")
        peer.sendall(f'mred "{name}" 1000'.encode())
        digits = str(len(content)).encode()
        data = read_until(peer, len(digits) + len(content) - 1000)
    sending.join(20)
    expect(data == digits + content[1000:], "what was fetched, from an offset on")

    seeker.say(211, "lefty")
    browsed = seeker.until(213)
    expect(any(kind == 212 and name in body for kind, body in browsed), f"browsed: {browsed}")
    seeker.say(215, f"{checksum} {len(content)}")
    twins = seeker.until(217)
    expect(any(kind == 216 and body.startswith("lefty ") for kind, body in twins), f"resume: {twins}")
    owner.say(102, f'"{name}"')
    owner.say(214)
    owner.until(214)


@case("opennap_script_talks_and_is_pushed_to")
def opennap_script_talks_and_is_pushed_to(running: Case) -> None:
    server = start(running)
    alice = Scripted(server, "alice").login()
    alice.until(214)
    alice.say(207, "bob")
    expect(alice.until(301)[-1] == (301, "bob"), "bob is on the hotlist")
    listener = socket.create_server((running.host(), 0))
    bob = Scripted(server, "bob", listener).login()
    bob.until(214)
    expect(alice.until(209)[-1] == (209, "bob 8"), "bob has come")
    bob.say(205, 'alice how "are" you')
    expect(alice.until(205)[-1] == (205, 'bob how "are" you'), "a message")
    for who in (alice, bob):
        who.say(400, "Help")
        who.until(410)
    bob.say(402, "Help anyone here?")
    expect(alice.until(403)[-1] == (403, "Help bob anyone here?"), "a public message")
    bob.say(603, "alice")
    expect(bob.until(604)[-1][1].startswith('alice "User" '), "who alice is")

    # Alice accepts no peers: she has to send by herself.
    alice.say(100, f'"a song.mp3" {"ab" * 16} 10 128 44100 60')
    alice.say(214)
    alice.until(214)
    bob.say(203, 'alice "a song.mp3"')
    ready = bob.until(204, 206)[-1]
    expect(ready[0] == 204 and ready[1].split()[2] == "0", f"her port is 0: {ready}")
    bob.say(500, 'alice "a song.mp3"')
    expect(alice.until(607)[-1] == (607, 'bob "a song.mp3"'), "she is asked")
    alice.say(608, 'bob "a song.mp3"')
    push = alice.until(501)[-1][1].split()
    expect(push[0] == "bob" and int(push[2]) == listener.getsockname()[1], f"where to send it: {push}")


@case("opennap_script_registers_and_is_refused")
def opennap_script_registers_and_is_refused(running: Case) -> None:
    server = start(running)
    owner = Scripted(server, "carol")
    owner.say(7, "carol")
    expect(owner.hear()[0] == 8, "the name is free")
    owner.say(6, 'carol secret 0 "nap v0.8" 3 carol@example.org')
    expect(owner.hear() == (3, "carol@example.org"), "registered")
    thief = Scripted(server, "carol").login("guess")
    expect(thief.hear()[0] == 0, "a wrong password")
    early = Scripted(server, "early")
    early.say(200, 'FILENAME CONTAINS "a"')
    expect(early.hear()[0] == 0, "nothing before the login")
