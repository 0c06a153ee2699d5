// Torrent files made by hand: small ones, and ones that no honest program writes.

import { createHash } from "node:crypto";

/** Bencodes (BEP 3) numbers, strings, bytes, lists and objects. */
export function bencode(value) {
  if (typeof value === "number") return Buffer.from(`i${value}e`);
  if (typeof value === "string") return bencode(Buffer.from(value));
  if (Buffer.isBuffer(value)) return Buffer.concat([Buffer.from(`${value.length}:`), value]);
  if (Array.isArray(value)) return Buffer.concat([Buffer.from("l"), ...value.map(bencode), Buffer.from("e")]);
  const pairs = Object.entries(value).sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return Buffer.concat([Buffer.from("d"), ...pairs.flatMap(([key, each]) => [bencode(key), bencode(each)]), Buffer.from("e")]);
}

const PIECE = 16384;

/** A torrent of version 1 with one file, of at most one piece. */
export function single(name, bytes) {
  return bencode({ info: { length: bytes.length, name, "piece length": PIECE, pieces: createHash("sha1").update(bytes).digest() } });
}

/** A torrent of version 1 with one file at the path `path`. */
export function nested(name, path, bytes) {
  return bencode({ info: { files: [{ length: bytes.length, path }], name, "piece length": PIECE, pieces: createHash("sha1").update(bytes).digest() } });
}
