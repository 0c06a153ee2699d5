"""The cases of the node, `shoal up`: front-ends of Transmission drive it through a whole session, its API is
asked what its description allows and what it does not, and the machine below it fails it."""

import base64
import hashlib
import json
import os
import random
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from cases import case, expect
from harness import PIECE, Case, CaseError, Payload, Process, bencode, endpoint, free_port, wait_for
from programs import Libtorrent

PATIENCE = 60
# Seconds that random requests may take in all.
RANDOM = 45
FAKETIME = "faketime/libfaketime.so.1"


class Node:
    """`shoal up` in a folder of its own."""

    def __init__(self, running: Case, name: str, root: Path | None = None, **environment: str):
        self.running = running
        self.root = root or running.folder(name)
        self.name = name
        self.environment = environment
        self.config = self.root / "config.toml"
        if not self.config.exists():
            self.host = running.host()
            self.config.write_text(
                f'[node]\nstate_dir = "{self.root}/state"\n'
                f'[network]\nlisten = ["{self.host}:0"]\nlsd = false\ndht = false\n'
                f'[transfers]\ndownload_dir = "{self.root}/down"\npublish_roots = ["{self.root}"]\n'
            )
        self.start()

    def start(self) -> None:
        command = [self.running.shoal, "up", "--config", self.config, "--api", "127.0.0.1:0"]
        command += ["--json", "--stop-at-eof"]
        self.process = Process(self.running, self.name, command, talks=True, **self.environment)
        up = self._await_up()
        self.api = urlsplit(up["api"]).netloc
        self.peers = up["addresses"]
        self.token = (self.root / "state/api-token").read_text().strip()

    def _await_up(self) -> dict:
        def line() -> dict | None:
            self.process.alive()
            for text in self.process.text().splitlines():
                if text.startswith('{"') and '"event":"up"' in text.replace(" ", ""):
                    return json.loads(text)
            return None

        return wait_for(line, PATIENCE, f"{self.name} is up")

    def call(self, method: str, path: str, body: object = None) -> object:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"http://{self.api}{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            text = answer.read()
        return json.loads(text) if text[:1] in (b"{", b"[") else text

    def transfers(self) -> list[dict]:
        return self.call("GET", "/api/v1/transfers")["transfers"]

    def await_state(self, *states: str) -> dict:
        def there() -> dict | None:
            return next((one for one in self.transfers() if one["state"] in states), None)

        return wait_for(there, PATIENCE, f"something is {' or '.join(states)} in {self.name}")

    def end(self) -> None:
        self.process.process.stdin.close()
        code = self.process.process.wait(PATIENCE)
        expect(code == 0, f"{self.name} ends in order, not with {code}")


def offer(running: Case) -> tuple[Node, Payload, Path]:
    """A node that offers a payload, and the payload's torrent."""
    payload = Payload(running)
    giver = Node(running, "giver")
    torrent = payload.torrent()
    giver.call("PATCH", "/api/v1/settings", {"transfers.roots": [str(payload.parent)]})
    give(giver, payload, torrent)
    return giver, payload, torrent


def give(giver: Node, payload: Payload, torrent: Path) -> None:
    rpc(giver, "torrent-add", metainfo=base64.b64encode(torrent.read_bytes()).decode(),
        **{"download-dir": str(payload.parent)})
    giver.await_state("seeding")


def rpc(node: Node, method: str, **arguments: object) -> dict:
    """Transmission's RPC, by hand."""
    url = f"http://{node.api}/transmission/rpc"
    body = json.dumps({"method": method, "arguments": arguments}).encode()
    headers = {"Authorization": f"Bearer {node.token}"}
    try:
        urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=PATIENCE)
        raise CaseError("the RPC answers without a handshake")
    except urllib.error.HTTPError as error:
        expect(error.code == 409, f"the handshake is answered by {error.code}")
        headers["X-Transmission-Session-Id"] = error.headers["X-Transmission-Session-Id"]
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=PATIENCE) as answer:
        said = json.loads(answer.read())
    expect(said["result"] == "success", f"{method}: {said['result']}")
    return said["arguments"]


def introduce(taker: Node, giver: Node) -> None:
    for transfer in taker.transfers():
        taker.call("POST", f"/api/v1/transfers/{transfer['id']}/peers", {"addresses": giver.peers})


@case("node_driven_by_transmission_remote")
def transmission_remote(running: Case) -> None:
    giver, payload, torrent = offer(running)
    taker = Node(running, "taker")

    def run(*words: object, login: str = f"me:{taker.token}") -> str:
        command = ["transmission-remote", taker.api, "-n", login, *map(str, words)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        except FileNotFoundError as error:
            raise CaseError("transmission-remote is not installed") from error
        return done.stdout + done.stderr

    def do(*words: object) -> str:
        said = run(*words)
        expect("responded: \"success\"" in said, f"transmission-remote {words}: {said}")
        return said

    def shows(words: tuple, *parts: str) -> None:
        said = run(*words)
        for part in parts:
            expect(part in said, f"transmission-remote {words} shows no {part!r}: {said}")

    expect("unauthorized" in run("-l", login="me:wrong"), "a wrong password is refused")
    expect("success" not in run("-a", torrent, "-w", "/etc"), "nothing goes to /etc")
    expect(not taker.transfers(), "and nothing was added")
    do("--start-paused")
    do("-a", torrent, "-w", taker.root / "down/first")
    one = taker.await_state("paused")
    at = ("-t", one["number"])
    do(*at, "-G", "0,1")
    do(*at, "-g", "all")
    do(*at, "-pl", "0")
    do(*at, "-ph", "5")
    shows((*at, "-f"), "Low", "High", "z.bin")
    do(*at, "-d", "9000")
    do(*at, "-u", "700")
    shows((*at, "-i"), "Download Limit: 9.00 MB/s", "Upload Limit: 700 kB/s", one["id"])
    do(*at, "-hl")
    do(*at, "-D")
    do(*at, "-s")
    introduce(taker, giver)
    taker.await_state("seeding")
    payload.check(taker.root / "down/first")
    shows(("-l",), "100%", payload.NAME)
    shows(("-t", one["id"], "-i"), "Percent Done: 100%", "Location:")
    for look in ("-ip", "-ic", "-it"):
        run(*at, look)
    do(*at, "-S")
    taker.await_state("paused")
    shows(("-l",), "Stopped")
    do(*at, "-s")
    do(*at, "-v")
    taker.await_state("seeding")
    do(*at, "--reannounce")
    do(*at, "-td", "http://127.0.0.1:9/announce")
    shows((*at, "-it"), "Tracker 0: 127.0.0.1")
    do(*at, "-tr", "0")
    expect("127.0.0.1" not in run(*at, "-it"), "the tracker is gone")
    do(*at, "-L", "one,two")
    expect(taker.transfers()[0]["labels"] == ["one", "two"], "it has labels")
    do(*at, "-sr", "2.5")
    do(*at, "--move", taker.root / "down/second")
    taker.await_state("seeding")
    payload.check(taker.root / "down/second")
    expect("success" not in run(*at, "--move", "/etc"), "nothing is moved to /etc")
    do(*at, "--find", taker.root / "down/second")
    # Which this program cannot ask for.
    rpc(taker, "torrent-rename-path", ids=[one["number"]], path=f"{payload.NAME}/b/deep", name="flat")
    taker.await_state("seeding")
    renamed = taker.root / f"down/second/{payload.NAME}/b/flat/er/c.bin"
    expect(renamed.stat().st_size == payload.sizes["b/deep/er/c.bin"], "a folder is renamed")
    do("-u", "500")
    do("-d", "600")
    do("-asu", "5")
    do("-asd", "6")
    do("-as")
    do("--alt-speed-time-begin", "0915")
    do("--alt-speed-time-end", "1645")
    do("--alt-speed-days", "1-3")
    do("-asc")
    do("-gsr", "3")
    shows(("-si",), "500 kB/s", "600 kB/s", "Default seed ratio limit: 3.0")
    scheduled = taker.call("GET", "/api/v1/settings")["settings"]
    times = next(one["value"] for one in scheduled if one["name"] == "transfers.alt_times")
    expect(times.endswith("09:15-16:45"), f"the other limits hold from 9:15 to 16:45: {times}")
    do("-ASC")
    do("-AS")
    shows(("-st",), "Downloaded")
    run("-pt")
    do(*at, "--remove-and-delete")
    expect(not taker.transfers() and not (taker.root / "down/second" / payload.NAME).exists(), "it is gone")
    taker.end()
    giver.end()


@case("node_driven_by_transmission_rpc")
def transmission_rpc(running: Case) -> None:
    import transmission_rpc as library

    giver, payload, torrent = offer(running)
    taker = Node(running, "taker")
    host, port = taker.api.split(":")
    client = library.Client(host=host, port=int(port), username="me", password=taker.token)
    try:
        library.Client(host=host, port=int(port), username="me", password="wrong")
        raise CaseError("a wrong password is taken")
    except library.TransmissionAuthError:
        pass

    def refused(act: object) -> None:
        try:
            act()
        except library.TransmissionError:
            return
        raise CaseError("what must not be done is done")

    refused(lambda: client.add_torrent(torrent.read_bytes(), download_dir="/etc"))
    added = client.add_torrent(torrent.read_bytes(), paused=True, labels=["mine"])
    one = client.get_torrent(added.id)
    expect(one.name == payload.NAME and one.status == "stopped", f"it is added and stopped: {one.status}")
    names = [file.name for file in one.get_files()]
    expect(names == [f"{payload.NAME}/{name}" for name in payload.sizes], f"its files: {names}")
    client.change_torrent(added.id, files_unwanted=[0])
    expect(not client.get_torrent(added.id).get_files()[0].selected, "a file is not wanted")
    client.change_torrent(added.id, files_wanted=[0], priority_high=[1], priority_low=[0])
    files = client.get_torrent(added.id).get_files()
    expect((files[0].priority.name, files[1].priority.name) == ("Low", "High"), "files have priorities")
    client.change_torrent(
        added.id, upload_limit=300, upload_limited=True, seed_ratio_limit=9.5, seed_ratio_mode=1
    )
    one = client.get_torrent(added.id)
    expect((one.upload_limit, one.upload_limited) == (300, True), "it is limited")
    expect(one.seed_ratio_limit == 9.5, "it has a goal")
    client.start_torrent(one.hash_string)
    introduce(taker, giver)
    taker.await_state("seeding")
    payload.check(taker.root / "down")
    one = client.get_torrent(added.id)
    expect(one.progress == 100.0 and one.seeding, f"it is complete and shared: {one.status}")
    client.stop_torrent(added.id)
    expect(client.get_torrent(added.id).stopped, "it is stopped")
    client.start_torrent([added.id], bypass_queue=True)
    client.verify_torrent(added.id)
    taker.await_state("seeding")
    client.reannounce_torrent(added.id)
    client.move_torrent_data(added.id, f"{taker.root}/down/other")
    taker.await_state("seeding")
    payload.check(taker.root / "down/other")
    client.move_torrent_data(added.id, f"{taker.root}/down/other", move=False)
    taker.await_state("seeding")
    refused(lambda: client.move_torrent_data(added.id, "/etc"))
    refused(lambda: client.rename_torrent_path(added.id, payload.NAME, "../../x"))
    client.rename_torrent_path(added.id, payload.NAME, "renamed")
    taker.await_state("seeding")
    expect(client.get_torrent(added.id).name == "renamed", "it has another name")
    expect((taker.root / "down/other/renamed/a.bin").exists(), "on disk too")
    second = client.add_torrent(f"magnet:?xt=urn:btih:{'ab' * 20}&dn=second", paused=True)
    order = lambda: [one.name for one in sorted(client.get_torrents(), key=lambda one: one.queue_position)]
    for move, first in ((client.queue_top, "second"), (client.queue_bottom, "renamed"),
                        (client.queue_up, "second"), (client.queue_down, "renamed")):
        move(second.id)
        expect(order()[0] == first, f"{move.__name__}: {order()}")
    active, removed = client.get_recently_active_torrents()
    expect(len(active) == 2 and not removed, f"both are active: {active} {removed}")
    client.set_session(
        speed_limit_down=300, speed_limit_down_enabled=True, alt_speed_up=7, alt_speed_time_begin=60,
        alt_speed_time_day=62, alt_speed_time_enabled=False, download_queue_size=3,
        download_queue_enabled=True, seed_ratio_limit=4, seed_ratio_limited=True,
    )
    session = client.get_session()
    got = (session.speed_limit_down, session.alt_speed_up, session.alt_speed_time_begin,
           session.alt_speed_time_day, session.download_queue_size, session.seed_ratio_limit)
    expect(got == (300, 7, 60, 62, 3, 4), f"the session is as it was told: {got}")
    expect(client.session_stats().torrent_count == 2, "there are two")
    expect(client.free_space(f"{taker.root}/down") > 0, "space is left")
    client.port_test()
    client.remove_torrent([added.id, second.id], delete_data=True)
    expect(client.get_torrents() == [], "both are removed")
    expect(not (taker.root / "down/other/renamed").exists(), "and the data")
    active, removed = client.get_recently_active_torrents()
    expect(sorted(removed) == sorted([added.id, second.id]), f"they were there: {removed}")
    taker.end()
    giver.end()


@case("node_answers_as_described")
def answers_as_described(running: Case) -> None:
    """Requests that the description allows, and others, get the answers that it promises."""
    _, payload, torrent = giver = offer(running)
    node = giver[0]
    program = Path(sys.executable).with_name("schemathesis")
    described = running.root / "openapi.json"
    described.write_text(json.dumps(node.call("GET", "/api/v1/openapi.json")))
    command = [program, "run", described, "--url", f"http://{node.api}", "--max-time", RANDOM]
    command += ["-H", f"Authorization: Bearer {node.token}", "--max-examples", 20, "--no-color"]
    command += ["--phases", "examples,coverage,fuzzing", "--seed", 1, "--workers", 1]
    command += ["--checks", "not_a_server_error,status_code_conformance,content_type_conformance,"
                "response_headers_conformance,response_schema_conformance,ignored_auth"]
    # Events never end; a change of the password would lock the others out; runs of the lab take long.
    for path in ("/api/v1/events", "/api/v1/settings/password", "/api/v1/login", "/api/v1/logout"):
        command += ["--exclude-path", path]
    command += ["--exclude-path-regex", "^/api/v1/lab"]
    try:
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                              timeout=2 * RANDOM, cwd=running.root)
    except FileNotFoundError as error:
        raise CaseError("schemathesis is not installed") from error
    expect(done.returncode == 0, f"schemathesis: {done.stdout[-6000:]}{done.stderr[-2000:]}")
    expect(node.call("GET", "/health")["status"] == "ok", "the node is well")


@case("node_full_disk")
def full_disk(running: Case) -> None:
    """A disk fills up below a transfer: it fails in words, others go on, and with room it completes."""
    giver, payload, torrent = offer(running)
    taker = Node(running, "taker")
    small = taker.root / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", small], check=True)
    try:
        taker.call("PATCH", "/api/v1/settings", {"transfers.roots": [str(small)]})
        metainfo = base64.b64encode(torrent.read_bytes()).decode()
        rpc(taker, "torrent-add", metainfo=metainfo, **{"download-dir": str(small)})
        introduce(taker, giver)
        failed = taker.await_state("failed")
        expect("space" in failed["error"], f"it says why: {failed['error']}")
        taker.call("POST", "/api/v1/transfers", {"source": "ab" * 20})
        subprocess.run(["mount", "-o", "remount,size=16m", small], check=True)
        taker.call("POST", f"/api/v1/transfers/{failed['id']}/resume")
        introduce(taker, giver)
        taker.await_state("seeding")
        payload.check(small)
        taker.end()
    finally:
        subprocess.run(["umount", "-l", small], check=True)
    giver.end()


@case("node_full_disk_of_its_own")
def full_disk_of_its_own(running: Case) -> None:
    """Where the node remembers things is full: a request is refused in words, and nothing that was
    remembered is lost."""
    root = running.folder("node")
    state = root / "state"
    state.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", state], check=True)
    try:
        node = Node(running, "node", root)
        known = [f"{number:040x}" for number in range(1, 11)]
        for one in known:
            node.call("POST", "/api/v1/transfers", {"source": one, "paused": True})
        filler = state / "filler"
        subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=4k"], stderr=subprocess.DEVNULL)
        refused = None
        for number in range(11, 2_000):
            try:
                long = {"source": f"{number:040x}", "paused": True, "labels": ["x" * 2_000]}
                node.call("POST", "/api/v1/transfers", long)
                known.append(f"{number:040x}")
            except urllib.error.HTTPError as error:
                refused = json.loads(error.read())["error"]["message"]
                break
        expect(refused and "space" in refused, f"it says why: {refused}")
        filler.unlink()
        # With room again it goes on by itself.
        node.call("POST", "/api/v1/transfers", {"source": "cd" * 20, "paused": True})
        known.append("cd" * 20)
        node.process.kill()
        node.start()
        there = {one["id"] for one in node.transfers()}
        expect(set(known) <= there, f"{len(set(known) - there)} of {len(known)} are lost")
        node.call("POST", "/api/v1/transfers", {"source": "ab" * 20, "paused": True})
        node.end()
    finally:
        subprocess.run(["umount", "-l", state], check=True)


@case("node_clock_set_back")
def clock_set_back(running: Case) -> None:
    """The clock is set back a day, and then ten years ahead, while a node runs: transfers go on."""
    libraries = [path for path in Path("/usr/lib").rglob(FAKETIME)]
    expect(libraries, "faketime is installed")
    giver, payload, torrent = offer(running)
    clock = running.root / "clock"
    clock.write_text("+0")
    faked = {"LD_PRELOAD": str(libraries[0]), "FAKETIME_TIMESTAMP_FILE": str(clock)}
    faked |= {"FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    taker = Node(running, "taker", **faked)
    began = time.time()
    taker.call("POST", "/api/v1/transfers", {"source": "01" * 20, "paused": True})
    for number, offset in enumerate(("-1d", "+10y"), 2):
        clock.write_text(offset)
        taker.call("POST", "/api/v1/transfers", {"source": f"{number:02}" * 20, "paused": True})
        added = next(one["added"] for one in taker.transfers() if one["id"] == f"{number:02}" * 20)
        expect(abs(added - began) > 80_000, f"its clock is another one: {added}")
        rpc(taker, "torrent-add", metainfo=base64.b64encode(torrent.read_bytes()).decode())
        introduce(taker, giver)
        done = taker.await_state("seeding")
        payload.check(taker.root / "down")
        taker.end()
        taker.start()
        expect(len(taker.transfers()) == number + 1, "nothing is lost")
        taker.await_state("seeding")
        taker.call("DELETE", f"/api/v1/transfers/{done['id']}?data=true")
    taker.end()
    giver.end()


@case("node_port_taken")
def port_taken(running: Case) -> None:
    """Somebody else has the port for peers, or that of the API: both are said in words."""
    first = Node(running, "first")
    for name, peers, api in (("peers", first.peers[0], "127.0.0.1:0"), ("api", None, first.api)):
        root = running.folder(name)
        peers = peers or endpoint(first.host, free_port(first.host))
        (root / "config.toml").write_text(
            f'[node]\nstate_dir = "{root}/state"\n[network]\nlisten = ["{peers}"]\nlsd = false\ndht = false\n'
            f'[transfers]\ndownload_dir = "{root}/down"\n'
        )
        command = [running.shoal, "up", "--config", root / "config.toml", "--api", api]
        second = Process(running, name, command)
        code = wait_for(lambda: second.code() is not None and second.process.returncode, PATIENCE, "it ends")
        taken = peers if name == "peers" else api
        expect(code == 1 and taken in second.text() and "in use" in second.text(), second.text())
    first.end()


@case("node_corrupt_state")
def corrupt_state(running: Case) -> None:
    """What the node remembers is damaged anywhere: it starts with all it knew, or says so and leaves
    the file as it is."""
    node = Node(running, "node")
    ids = [f"{number:040x}" for number in range(1, 31)]
    for one in ids:
        node.call("POST", "/api/v1/transfers", {"source": one, "paused": True})
    node.end()
    file = node.root / "state/state.redb"
    whole = file.read_bytes()
    damages = [whole[: len(whole) // 2], b"", b"x" * len(whole), whole[:100] + b"y" * 200 + whole[300:]]
    for at in range(0, len(whole), max(4096, len(whole) // 12)):
        damages.append(whole[:at] + bytes(byte ^ 0xFF for byte in whole[at : at + 64]) + whole[at + 64 :])
    for damage in damages:
        file.write_bytes(damage)
        environment = os.environ | node.environment
        command = [running.shoal, "up", "--config", node.config, "--api", "127.0.0.1:0", "--stop-at-eof"]
        done = subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=PATIENCE, env=environment)
        said = done.stdout + done.stderr
        expect(done.returncode in (0, 1), f"it ends with {done.returncode}: {said}")
        expect("panicked" not in said, said)
        if done.returncode == 1:
            expect("state.redb" in said, f"it says which file: {said}")
    file.write_bytes(whole)
    node.start()
    expect({one["id"] for one in node.transfers()} == set(ids), "with the whole file all is there")
    node.end()


@case("node_fetches_from_libtorrent_and_gnutella")
def libtorrent_and_gnutella(running: Case) -> None:
    """One file from libtorrent's swarm and from a servent at once, by the link that names both; then it is
    shared on as the torrent."""
    giver, taker = Node(running, "giver"), Node(running, "taker")
    data = random.Random(7).randbytes(48 << 20)
    pieces = [data[start : start + PIECE] for start in range(0, len(data), PIECE)]
    info = {
        "length": len(data),
        "name": "atoll.bin",
        "piece length": PIECE,
        "pieces": b"".join(hashlib.sha1(piece).digest() for piece in pieces),
    }
    shared, swarm = giver.root / "shared", running.folder("swarm")
    shared.mkdir()
    for folder in (shared, swarm):
        (folder / "atoll.bin").write_bytes(data)
    torrent = swarm / "atoll.torrent"
    torrent.write_bytes(bencode({"info": info}))
    seed = Libtorrent(running).seed(torrent, swarm).await_ready()

    giver.call("PATCH", "/api/v1/settings", {"gnutella.role": "ultrapeer"})
    giver.call("POST", "/api/v1/library/folders", {"path": str(shared)})
    listen = f"{giver.host}:{free_port(giver.host)}"
    giver.call("POST", "/api/v1/networks/gnutella/join", {"peers": [], "listen": listen})
    taker.call("PATCH", "/api/v1/settings", {"gnutella.role": "leaf"})
    joining = {"peers": [listen], "listen": f"{taker.host}:{free_port(taker.host)}"}
    taker.call("POST", "/api/v1/networks/gnutella/join", joining)

    def found() -> bool:
        answer = taker.call("GET", "/api/v1/search?q=atoll+network:gnutella")
        return bool(answer["results"])

    wait_for(found, PATIENCE, "the servent's file is found")
    infohash = hashlib.sha1(bencode(info)).hexdigest()
    sha1 = base64.b32encode(hashlib.sha1(data).digest()).decode()
    link = f"magnet:?xt=urn:btih:{infohash}&xt=urn:sha1:{sha1}&dn=atoll.bin&x.pe={seed.address}"
    command = [running.shoal, "fetch", link, "--config", taker.config]
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE)
    expect(done.returncode == 0 and "COMPLETE atoll.bin" in done.stdout, done.stdout + done.stderr)
    transfer = taker.await_state("seeding")
    expect(transfer["id"] == infohash, f"it is shared on as the torrent, not as {transfer['id']}")
    expect((taker.root / "down/atoll.bin").read_bytes() == data, "what was fetched is the file")
    given = giver.call("GET", "/api/v1/networks/gnutella")["detail"]["given"]
    expect(0 < given < len(data), f"each brought a part: the servent {given} of {len(data)} bytes")
