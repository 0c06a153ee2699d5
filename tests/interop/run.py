#!/usr/bin/env python3
"""Shoal shares with the programs that people use, and they with it.

    run.py [--list] [--shoal PATH] [--modules DIR] [--mainline PATH] [--jobs N] [--keep] [CASE...]

Cases may be named with * and ?. SHOAL is by default target/release/shoal; MODULES, a folder with
node_modules of webtorrent, bittorrent-tracker and bittorrent-dht, target/interop; MAINLINE, what is
built of mainline_node, target/interop/mainline/release/mainline-node. Needs the Python modules
`libtorrent`, `transmission_rpc` and schemathesis, transmission-daemon, transmission-remote, aria2c,
opentracker, miniupnpd, nft, faketime and node; and the right to make network namespaces, because
each case runs in one of its own, from which nothing leaves the machine. A program that is missing is
a failure. Cases mostly wait for timers of the programs, so several run at once. KEEP leaves what they
wrote in the folder for temporary files.
"""

import argparse
import fnmatch
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness import PRIVATE, Case, CaseError, expect_private_networks, in_private_network, set_up_network

ROOT = Path(__file__).resolve().parents[2]


# These wait for Transmission's clocks and for slow links: better early than last.
LONG = ("*transmission*", "swarm*", "pex*")


def run_here(name: str, function: object, told: argparse.Namespace) -> bool:
    """Runs one case in the network that this program is in, and says how it went."""
    folder = Path(tempfile.mkdtemp(prefix=f"shoal-{name}-"))
    folder.chmod(0o755)
    case = Case(folder, told.shoal, told.modules, told.mainline)
    started = time.monotonic()
    why = None
    try:
        function(case)
    except CaseError as error:
        why = str(error)
    except Exception:
        why = traceback.format_exc()
    except KeyboardInterrupt:
        case.end(told.keep)
        raise
    seconds = time.monotonic() - started
    if why is None:
        print(f"ok {name} {seconds:.1f}s", flush=True)
    else:
        tails = "\n".join(process.tail() for process in case.processes)
        print(f"FAILED {name} {seconds:.1f}s: {why}\n{tails}", flush=True)
    case.end(told.keep)
    return why is None


class Runs:
    """Runs cases, each as a process in a network of its own."""

    def __init__(self, told: argparse.Namespace):
        self.options = ["--shoal", told.shoal, "--modules", told.modules, "--mainline", told.mainline]
        self.options += ["--keep"] if told.keep else []
        self.running: set[subprocess.Popen] = set()
        self.stopping = False

    def run(self, name: str) -> bool:
        if self.stopping:
            return False
        command = in_private_network([sys.executable, __file__, *self.options, "--here", name])
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ | PRIVATE
        )
        self.running.add(process)
        output = process.communicate()[0]
        self.running.discard(process)
        print(output, end="", flush=True)
        return process.returncode == 0

    def stop(self) -> None:
        self.stopping = True
        for process in list(self.running):
            process.terminate()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("cases", nargs="*", metavar="CASE")
    parser.add_argument("--list", action="store_true", help="say the names of the cases")
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser.add_argument("--shoal", type=Path, default=target / "release/shoal")
    parser.add_argument("--modules", type=Path, default=ROOT / "target/interop")
    mainline = target / "interop/mainline/release/mainline-node"
    parser.add_argument("--mainline", type=Path, default=mainline)
    parser.add_argument("--jobs", type=int, default=2 * (os.cpu_count() or 1), help="how many cases at once")
    parser.add_argument("--keep", action="store_true", help="leave what the cases wrote")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    told = parser.parse_args()
    # It imports libtorrent, which --help does not need.
    from cases import CASES

    import dht  # noqa: F401 (it adds its cases)
    import nat  # noqa: F401 (it adds its cases)
    import node  # noqa: F401 (it adds its cases)
    import opennap  # noqa: F401 (it adds its cases)
    import rqbit  # noqa: F401 (it adds its cases)

    names = [name for name in CASES if not name.startswith("rqbit_")]
    if told.cases:
        for pattern in told.cases:
            if not fnmatch.filter(CASES, pattern):
                parser.error(f"there is no case {pattern}")
        names = [name for name in CASES if any(fnmatch.fnmatch(name, pattern) for pattern in told.cases)]
    if told.list:
        print("\n".join(names))
        return 0
    if not told.shoal.is_file():
        sys.exit(f"run.py: {told.shoal} is not there: cargo build --release")
    told.shoal, told.modules = told.shoal.resolve(), told.modules.resolve()
    told.mainline = told.mainline.resolve()
    # As Ctrl-C does, so that what was started is ended.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if told.here:
        set_up_network()
        return 0 if all([run_here(name, CASES[name], told) for name in names]) else 1
    expect_private_networks()
    names.sort(key=lambda name: not any(fnmatch.fnmatch(name, pattern) for pattern in LONG))
    started = time.monotonic()
    runs = Runs(told)
    with ThreadPoolExecutor(told.jobs) as pool:
        try:
            passed = sum(pool.map(runs.run, names))
        except KeyboardInterrupt:
            runs.stop()
            raise
    failed = len(names) - passed
    print(f"{passed} passed, {failed} failed, {time.monotonic() - started:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
