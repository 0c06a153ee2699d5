"""libtorrent's nodes of the DHT, told what to do by lines on standard input.

    lt_dht.py ADDR:PORT[,ADDR:PORT...] [BOOTSTRAP...]

Several addresses make as many nodes, which begin with the first. Prints `ready`, and an answer to each
line, behind `= `; the nodes take turns. The lines are those of mainline_node.
"""

import hashlib
import sys
import time
import warnings

import libtorrent as lt

warnings.filterwarnings("ignore", category=DeprecationWarning)

# One host has many nodes here, and ids say nothing of addresses: what keeps a real network from harm
# would keep this one from forming.
SETTINGS = {
    "enable_dht": True,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "dht_restrict_routing_ips": False,
    "dht_restrict_search_ips": False,
    "dht_enforce_node_id": False,
    "dht_prefer_verified_node_ids": False,
    "dht_ignore_dark_internet": False,
    "dht_upload_rate_limit": 1 << 30,
    "dht_block_ratelimit": 10_000_000,
    "dht_block_timeout": 1,
    "alert_mask": lt.alert.category_t.dht_notification | lt.alert.category_t.dht_operation_notification,
}
PATIENCE = 20


def await_alert(session: lt.session, kind: type, patience: float = PATIENCE) -> lt.alert:
    """The first alert of that kind, in which libtorrent says how an operation ended."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        session.wait_for_alert(100)
        for alert in session.pop_alerts():
            if isinstance(alert, kind):
                return alert
    raise TimeoutError(kind.__name__)


def unhex(text: str) -> bytes:
    return b"" if text == "-" else bytes.fromhex(text)


def secret(seed: bytes) -> bytes:
    """The private key in the form that libtorrent takes: what the seed is hashed to (RFC 8032)."""
    key = bytearray(hashlib.sha512(seed).digest())
    key[0] &= 248
    key[31] &= 63
    key[31] |= 64
    return bytes(key)


def peers(session: lt.session, info_hash: str) -> list[tuple[str, int]]:
    session.dht_get_peers(lt.sha1_hash(unhex(info_hash)))
    try:
        # Of a search that finds nobody it says nothing.
        return await_alert(session, lt.dht_get_peers_reply_alert, 3).peers()
    except TimeoutError:
        return []


def obey(session: lt.session, words: list[str]) -> str:
    match words:
        case ["put", value]:
            target = session.dht_put_immutable_item(unhex(value))
            await_alert(session, lt.dht_put_alert)
            return str(target)
        case ["get", target]:
            session.dht_get_immutable_item(lt.sha1_hash(unhex(target)))
            item = await_alert(session, lt.dht_immutable_item_alert).item
            return item.hex() if item else "-"
        case ["put_mutable", seed, public, salt, _seq, value]:
            # It chooses the sequence number itself: the last one it finds, and one more.
            session.dht_put_mutable_item(secret(unhex(seed)), unhex(public), unhex(value), unhex(salt))
            await_alert(session, lt.dht_put_alert)
            return hashlib.sha1(unhex(public) + unhex(salt)).hexdigest()
        case ["get_mutable", public, salt]:
            session.dht_get_mutable_item(unhex(public), unhex(salt))
            alert = await_alert(session, lt.dht_mutable_item_alert)
            return f"{alert.seq} {alert.item.hex()}" if alert.item else "-"
        case ["announce", info_hash, port]:
            session.dht_announce(lt.sha1_hash(unhex(info_hash)), int(port), 0)
            # It does not say when it has announced: somebody then knows of it.
            deadline = time.monotonic() + PATIENCE
            while not any(peer[1] == int(port) for peer in peers(session, info_hash)):
                if time.monotonic() > deadline:
                    raise TimeoutError("nobody has heard the announce")
            return "-"
        case ["get_peers", info_hash]:
            return " ".join(f"{ip}:{port}" for ip, port in peers(session, info_hash)) or "-"
    return "error no such command"


def main() -> None:
    places, known = sys.argv[1].split(","), sys.argv[2:]
    sessions = []
    for place in places:
        begin = ",".join(known + places[:1] if sessions else known)
        sessions.append(lt.session(SETTINGS | {"listen_interfaces": place, "dht_bootstrap_nodes": begin}))
    # Who begins with nobody has nothing to tell of.
    for session in sessions if known else sessions[1:]:
        await_alert(session, lt.dht_bootstrap_alert)
    # All began with one that knew nobody either, and would meet by and by.
    for session in sessions:
        for host, port in (place.split(":") for place in places):
            session.add_dht_node((host, int(port)))
    deadline = time.monotonic() + PATIENCE
    enough = min(len(sessions) - 1, 8)
    while any(session.status().dht_nodes < enough for session in sessions):
        if time.monotonic() > deadline:
            sys.exit("the nodes do not meet")
        time.sleep(0.05)
    print("ready", flush=True)
    for number, line in enumerate(sys.stdin):
        session = sessions[number % len(sessions)]
        session.pop_alerts()
        try:
            answer = obey(session, line.split())
        except Exception as error:  # The case decides what it means.
            answer = f"error {error!r}"
        print("=", answer, flush=True)


if __name__ == "__main__":
    main()
