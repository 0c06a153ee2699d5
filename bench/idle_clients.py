#!/usr/bin/env python3
"""How much ten thousand idle clients of the API slow a transfer down.

Seeds a file with `shoal publish`, fetches it with `shoal up` over loopback, once alone and once with clients that
connect to the API and then do nothing, send their request a byte at a time, or hold a stream of events open; in turn,
as often as asked. Prints the seconds of each run and the medians.

    bench/idle_clients.py --shoal target/release/shoal --clients 10000 --size 1024 --rounds 3
"""

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

SLOW_EVERY = 5.0


def say_lines(process, wanted):
    for line in process.stdout:
        value = json.loads(line)
        if wanted(value):
            return value
    raise RuntimeError("a node ended")


async def client(kind, port, token, alive):
    """One client, which comes back when it is thrown out."""
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            alive[0] += 1
            if kind == "events":
                head = f"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n\r\n"
                writer.write(head.encode())
            elif kind == "slow":
                writer.write(b"GET /health HTTP/1.1\r\nX-Slow: ")
                asyncio.get_running_loop().call_later(SLOW_EVERY, writer.write, b"a")
            await reader.read()
            writer.close()
        except OSError:
            pass
        await asyncio.sleep(SLOW_EVERY)


async def crowd(clients, port, token, done):
    kinds = ["idle", "slow", "idle", "events"]
    alive = [0]
    tasks = []
    for number in range(clients):
        tasks.append(asyncio.create_task(client(kinds[number % 4], port, token, alive)))
        if number % 200 == 199:
            await asyncio.sleep(0.05)
    while not done():
        await asyncio.sleep(0.05)
    for task in tasks:
        task.cancel()
    return alive[0]


def fetch(args, folder, magnet, clients):
    """Seconds from adding to the end, and connections that were made meanwhile."""
    home = Path(tempfile.mkdtemp(dir=folder))
    (home / "config.toml").write_text(
        f'[node]\nstate_dir = "{home}/state"\n[network]\nlisten = ["127.0.0.1:0"]\nlsd = false\ndht = false\n'
        f'[transfers]\ndownload_dir = "{home}/downloads"\n'
    )
    node = subprocess.Popen(
        [args.shoal, "up", "--api", "127.0.0.1:0", "--config", home / "config.toml", "--json", "--stop-at-eof"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )
    up = say_lines(node, lambda value: value.get("event") == "up")
    token = (home / "state/api-token").read_text().strip()

    def call(method, path, body=None):
        request = urllib.request.Request(up["api"] + "api/v1" + path, method=method)
        request.add_header("Authorization", "Bearer " + token)
        request.add_header("Content-Type", "application/json")
        data = json.dumps(body).encode() if body else None
        with urllib.request.urlopen(request, data) as answer:
            return json.load(answer)

    port = int(up["api"].rstrip("/").rsplit(":", 1)[1])
    whole = home / "downloads/file.bin"
    ended = []

    def done():
        # By the file, so that no request of ours is in the way; it is allocated at once and then filled.
        if ended:
            return True
        try:
            transfer = call("GET", "/transfers")["transfers"][0]
        except OSError:
            return False
        if transfer["state"] == "seeding":
            ended.append(time.monotonic())
        return bool(ended)

    async def run():
        gathered = asyncio.create_task(crowd(clients, port, token, lambda: bool(ended))) if clients else None
        if gathered:
            await asyncio.sleep(args.gather)
        began = time.monotonic()
        await asyncio.to_thread(call, "POST", "/transfers", {"source": magnet})
        while not await asyncio.to_thread(done):
            await asyncio.sleep(0.05)
        return ended[0] - began, await gathered if gathered else 0

    seconds, made = asyncio.run(run())
    node.stdin.close()
    node.wait()
    assert whole.stat().st_size == args.size << 20
    subprocess.run(["rm", "-rf", home], check=True)
    return seconds, made


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shoal", default="target/release/shoal")
    parser.add_argument("--clients", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=1024, help="MiB")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gather", type=float, default=6.0, help="seconds for the clients to come")
    parser.add_argument("--dir", default=None)
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with tempfile.TemporaryDirectory(dir=args.dir) as folder:
        path = Path(folder) / "file.bin"
        with path.open("wb") as file:
            for _ in range(args.size):
                file.write(os.urandom(1 << 20))
        seed = subprocess.Popen(
            [args.shoal, "publish", path, "--json", "--listen", "127.0.0.1:0", "--no-lsd", "--no-dht", "--stop-at-eof"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )
        address = say_lines(seed, lambda value: value.get("event") == "listening")["addresses"][0]
        magnet = say_lines(seed, lambda value: value.get("event") == "torrent")["magnet"] + f"&x.pe={address}"
        say_lines(seed, lambda value: value.get("state") == "seeding")
        alone, crowded = [], []
        for _ in range(args.rounds):
            alone.append(fetch(args, folder, magnet, 0)[0])
            seconds, made = fetch(args, folder, magnet, args.clients)
            crowded.append(seconds)
            print(f"alone {alone[-1]:.2f} s, with {args.clients} clients ({made} connections) {crowded[-1]:.2f} s", flush=True)
        seed.stdin.close()
        seed.wait()
    a, b = statistics.median(alone), statistics.median(crowded)
    print(f"median alone {a:.2f} s, with clients {b:.2f} s: {100 * (b / a - 1):+.1f} %")


if __name__ == "__main__":
    main()
