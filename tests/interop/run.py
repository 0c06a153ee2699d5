#!/usr/bin/env python3
"""Shoal shares with the programs that people use, and they with it.

    run.py [--list] [--shoal PATH] [--modules DIR] [--keep] [CASE...]

Cases may be named with * and ?. SHOAL is by default target/release/shoal; MODULES, a folder with
node_modules of webtorrent and bittorrent-tracker, target/interop. Needs the Python module `libtorrent`,
transmission-cli, aria2c, opentracker and node; and the right to make a network namespace, because
everything runs in one from which nothing leaves the machine. A program that is missing is a failure.
"""

import argparse
import fnmatch
import os
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

from harness import Case, CaseError, enter_private_network

ROOT = Path(__file__).resolve().parents[2]


def run(name: str, function: object, shoal: Path, modules: Path) -> bool:
    """Runs one case and says how it went."""
    folder = Path(tempfile.mkdtemp(prefix=f"shoal-{name}-"))
    folder.chmod(0o755)
    case = Case(folder, shoal, modules)
    started = time.monotonic()
    why = None
    try:
        function(case)
    except CaseError as error:
        why = str(error)
    except Exception:
        why = traceback.format_exc()
    except KeyboardInterrupt:
        case.end()
        raise
    seconds = time.monotonic() - started
    if why is None:
        print(f"ok {name} {seconds:.1f}s", flush=True)
    else:
        tails = "\n".join(process.tail() for process in case.processes)
        print(f"FAILED {name} {seconds:.1f}s: {why}\n{tails}", flush=True)
    case.end()
    return why is None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("cases", nargs="*", metavar="CASE")
    parser.add_argument("--list", action="store_true", help="say the names of the cases")
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser.add_argument("--shoal", type=Path, default=target / "release/shoal")
    parser.add_argument("--modules", type=Path, default=ROOT / "target/interop")
    told = parser.parse_args()
    # It imports libtorrent, which --help does not need.
    from cases import CASES

    names = list(CASES)
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
    enter_private_network()
    # As Ctrl-C does, so that what was started is ended.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    passed = sum(run(name, CASES[name], told.shoal.resolve(), told.modules.resolve()) for name in names)
    failed = len(names) - passed
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
