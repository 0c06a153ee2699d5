#!/usr/bin/env python3
"""Shoal gives files the infohashes and piece layers that libtorrent gives them.

    create_vs_libtorrent.py [SHOAL]

SHOAL is the program, by default target/release/shoal. Needs the Python module `libtorrent` 2.0 or
later. Two things are told to libtorrent rather than left to it: the order of files, because for v1
it takes them as the folder lists them, and to leave the last file of a hybrid without padding.
"""

import os
import random
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import libtorrent as lt

warnings.filterwarnings("ignore", category=DeprecationWarning)

KIB = 1024
FLAGS = {
    "v1": lt.create_torrent.v1_only,
    "v2": lt.create_torrent.v2_only,
    "hybrid": lt.create_torrent.canonical_files_no_tail_padding,
}
PIECE_LENS = [16 * KIB, 64 * KIB, 1024 * KIB]

# Name: length in bytes; names that end in `*` are executable.
TREES = {
    "tiny": 1,
    "leaf": 16 * KIB,
    "leaf_and_one": 16 * KIB + 1,
    "tool*": 300_000,
    "film": 5_000_000,
    "one_file": {"only": 70_000},
    "aligned": {"a": 1024 * KIB, "b": 2048 * KIB, "c": 64 * KIB},
    "mixed": {
        ".hidden": 10,
        "Z": 0,
        "a": 100,
        "b.bin": 50_000,
        "run*": 20,
        "sub/deep/er": 200_000,
        "sub/x": 16 * KIB,
        "sub/zero": 0,
        "sub0": 33_333,
        "\u00e9t\u00e9": 1_500_000,
        "zz_empty": 0,
    },
    # A folder is sorted by its own name (BEP 52), not with the slash behind it. libtorrent refuses
    # the hybrids that it makes of this itself.
    "order": {"sub/x": 40_000, "sub.y": 3, "sub0": 50_000},
    "many": {f"{i % 7}/{i}": i * 37 % 20_011 for i in range(500)},
}


def write(path: Path, length: int, executable: bool, rng: random.Random) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(rng.randbytes(length))
    path.chmod(0o755 if executable else 0o644)


def lay_out(folder: Path) -> list[Path]:
    """Writes all trees and returns their roots."""
    rng = random.Random(52)
    roots = []
    for name, tree in TREES.items():
        root = folder / name.rstrip("*")
        if isinstance(tree, int):
            write(root, tree, name.endswith("*"), rng)
        else:
            for path, length in tree.items():
                write(root / path.rstrip("*"), length, path.endswith("*"), rng)
        roots.append(root)
    return roots


def by_libtorrent(root: Path, kind: str, piece_len: int) -> dict:
    files = [root] if root.is_file() else [path for path in root.rglob("*") if path.is_file()]
    files.sort(key=lambda path: [os.fsencode(part) for part in path.relative_to(root.parent).parts])
    storage = lt.file_storage()
    for path in files:
        flags = lt.file_flags_t.flag_executable if os.access(path, os.X_OK) else 0
        storage.add_file(str(path.relative_to(root.parent)), path.stat().st_size, int(flags))
    torrent = lt.create_torrent(storage, piece_len, int(FLAGS[kind]))
    lt.set_piece_hashes(torrent, str(root.parent))
    return torrent.generate()


def by_shoal(shoal: str, root: Path, kind: str, piece_len: int, output: Path) -> dict:
    command = [shoal, "publish", "--no-seed", f"--{kind}", "--piece-size", str(piece_len)]
    command += ["--force", "--output", output, root]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return lt.bdecode(output.read_bytes())


def refused(torrent: dict) -> bool:
    try:
        lt.load_torrent_buffer(lt.bencode(torrent))
    except RuntimeError:
        return True
    return False


def compare(theirs: dict, ours: dict) -> list[str]:
    wrong = ["libtorrent refuses it"] if refused(ours) else []
    info, other = ours[b"info"], theirs[b"info"]
    keys = info.keys() | other.keys()
    if refused(theirs):
        keys -= {b"files", b"pieces"}
    differ = [key.decode() for key in sorted(keys) if info.get(key) != other.get(key)]
    if differ:
        wrong.append("info dictionaries differ in " + ", ".join(differ))
    if theirs.get(b"piece layers", {}) != ours.get(b"piece layers", {}):
        wrong.append("piece layers differ")
    return wrong


def main() -> int:
    shoal = sys.argv[1] if len(sys.argv) > 1 else "target/release/shoal"
    checked = failed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for root in lay_out(folder):
            for kind in FLAGS:
                for piece_len in PIECE_LENS:
                    theirs = by_libtorrent(root, kind, piece_len)
                    ours = by_shoal(shoal, root, kind, piece_len, folder / "made.torrent")
                    checked += 1
                    for wrong in compare(theirs, ours):
                        failed += 1
                        print(f"{root.name}, {kind}, pieces of {piece_len}: {wrong}")
    print(f"{checked} torrents compared with libtorrent {lt.__version__}, {failed} differences")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
