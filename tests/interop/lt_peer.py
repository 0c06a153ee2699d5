"""A libtorrent peer, as a process of its own.

    lt_peer.py JSON

JSON has `torrent` or `magnet`, `dir`, `listen`, `settings`, `peers` and `seed`. Prints lines of JSON:
`ready` when it can be dialled, `complete` when all is on disk, and what its peers are like whenever that changes.
"""

import json
import sys
import warnings

import libtorrent as lt

warnings.filterwarnings("ignore", category=DeprecationWarning)

SETTINGS = {
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "close_redundant_connections": False,
    "allow_multiple_connections_per_ip": True,
    "min_reconnect_time": 1,
    "alert_mask": lt.alert.category_t.status_notification
    | lt.alert.category_t.error_notification
    | lt.alert.category_t.connect_notification
    | lt.alert.category_t.storage_notification,
}

TROUBLE = (
    lt.listen_failed_alert,
    lt.peer_disconnected_alert,
    lt.peer_error_alert,
    lt.torrent_error_alert,
    lt.tracker_error_alert,
)


def say(event: str, **rest: object) -> None:
    print(json.dumps({"event": event, **rest}), flush=True)


def describe(peer: lt.peer_info) -> dict:
    flags = int(peer.flags)
    return {
        "address": "%s:%d" % peer.ip,
        "client": peer.client.decode("utf-8", "replace") if isinstance(peer.client, bytes) else peer.client,
        "rc4": bool(flags & int(lt.peer_info.rc4_encrypted)),
        "lsd": bool(int(peer.source) & int(lt.peer_info.lsd)),
    }


def main() -> None:
    told = json.loads(sys.argv[1])
    host = told["listen"].rsplit(":", 1)[0].strip("[]")
    session = lt.session(
        SETTINGS | {"listen_interfaces": told["listen"], "outgoing_interfaces": host} | told["settings"]
    )
    if "magnet" in told:
        params = lt.parse_magnet_uri(told["magnet"])
    else:
        params = lt.add_torrent_params()
        params.ti = lt.torrent_info(told["torrent"])
    params.save_path = told["dir"]
    params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
    handle = session.add_torrent(params)
    whole = ready = False
    peers: list = []
    last = None
    while True:
        session.wait_for_alert(100)
        for alert in session.pop_alerts():
            if isinstance(alert, TROUBLE):
                say("trouble", message=alert.message())
            if isinstance(alert, lt.cache_flushed_alert) and whole:
                say("complete")
        status = handle.status()
        checked = status.state not in (lt.torrent_status.checking_files, lt.torrent_status.checking_resume_data)
        if not ready and checked and (status.is_seeding or not told["seed"]):
            ready = True
            say("ready")
            for address in told["peers"]:
                ip, port = address.rsplit(":", 1)
                handle.connect_peer((ip.strip("[]"), int(port)))
        if not whole and status.is_seeding and status.has_metadata:
            whole = True
            # It may not have written all that it has.
            handle.flush_cache()
        peers = [describe(peer) for peer in handle.get_peer_info()]
        if peers and peers != last:
            last = peers
            say("peers", peers=peers, have=status.num_pieces)


if __name__ == "__main__":
    main()
