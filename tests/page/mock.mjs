// A stand-in for the node: serves the page with made-up data, so that its looks can be checked
// with any number of transfers. Usage: node mock.mjs PORT WEB_FOLDER [TRANSFERS]
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { join, normalize } from "node:path";

const [port, web, transfersWanted = "24"] = process.argv.slice(2);
const CSP = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; connect-src 'self'; font-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const TYPES = { html: "text/html", js: "text/javascript", css: "text/css", svg: "image/svg+xml" };
const now = Date.now() / 1000;
const hex = (n, length = 40) => (n * 2654435761 >>> 0).toString(16).padStart(8, "0").repeat(8).slice(0, length);

const NAMES = ["debian-13.2.0-amd64-netinst.iso", "Big Buck Bunny (2008)", "sintel-2048-surround.mkv", "Field recordings, spring", "<img src=x onerror=alert(1)>", "wikipedia_en_all_maxi_2026-06.zim", "A name so long that no column could ever hold it without cutting it somewhere in the middle.tar.zst"];
const STATES = ["downloading", "seeding", "downloading", "paused", "seeding", "failed", "checking", "metadata"];
const transfers = Array.from({ length: Number(transfersWanted) }, (_, n) => {
  const state = STATES[n % STATES.length];
  const total = (n % 5 + 1) * 734003200;
  const have = state === "seeding" ? total : Math.floor(total * ((n * 37) % 100) / 100);
  const moving = state === "downloading";
  return { id: hex(n + 1), number: n + 1, name: state === "metadata" ? null : `${NAMES[n % NAMES.length]}${n >= NAMES.length ? ` ${n}` : ""}`, infohash_v1: hex(n + 1), infohash_v2: hex(n + 1, 64), magnet: `magnet:?xt=urn:btih:${hex(n + 1)}`, state, error: state === "failed" ? "disk full: /srv/downloads" : null, bytes_checked: have, bytes_total: total, bytes_wanted: total, bytes_have: have, pieces_total: 2800, pieces_have: Math.floor(2800 * have / total), downloaded: have, uploaded: have / 2, wasted: 16384, download_rate: moving ? 1.2e6 * (n % 3 + 1) : 0, upload_rate: state === "seeding" ? 3e5 : 0, ratio: 0.5, eta: moving ? 731 : null, peers_connected: n % 9, peers_known: 40, seeds: 12, leechers: 3, added: now - n * 3600, completed: state === "seeding" ? now - 500 : null, dir: "/srv/downloads", labels: [], queue_position: n, sequential: false, private: false, upload_limit: null, download_limit: null, seed_ratio: null, seed_time: null, files: 3 };
});
const status = () => ({ version: "0.1.0", uptime: 4000, first_start: transfers.length === 0, addresses: ["127.0.0.1:6881"], download_dir: "/srv/downloads", free_space: 1e11, downloaded: 1e9, uploaded: 2e9, download_rate: 4e6 + 1e6 * Math.sin(Date.now() / 3000), upload_rate: 9e5, upload_limit: null, download_limit: null, peers_connected: 23, transfers: { total: transfers.length }, networks: [] });
const peers = Array.from({ length: 9 }, (_, n) => ({ address: `192.0.2.${n + 1}:6881`, listens: true, client: ["libtorrent/2.1", "Transmission 4.0", "aria2/1.37", "Shoal 0.1.0"][n % 4], transport: n % 2 ? "utp" : "tcp", encrypted: true, downloaded: 1e7 * n, uploaded: 4e6 * n, download_rate: 2e5 * n, upload_rate: 1e5, progress: n / 8, flags: "DUeT" }));
const bits = Buffer.alloc(350);
for (let n = 0; n < 2800; n += 1) if (n < 1200 || (n * 7919) % 13 < 4) bits[n >> 3] |= 0x80 >> (n & 7);
const claim = (id, title) => ({ id, title, says: "A lookup takes half of log2 N steps on average.", source: "Stoica et al., SIGCOMM 2001, figure 10", provenance: "vector", seconds: 3, params: [{ name: "nodes", what: "nodes on the ring", kind: "count", paper: 16384, small: 256 }] });
const record = { claim: "chord.path_length.mean", params: { nodes: 1024 }, size: "small", seed: 1, seconds: 2.1, verdict: "holds", command: "shoal lab run chord.path_length.mean --seed 1", notes: [], checks: [{ what: "mean steps at 1,024 nodes", measured: 4.91, expected: 4.89, tolerance: "3 %", holds: true }], plots: [{ title: "Path length", x: { label: "nodes", scale: "log2" }, y: { label: "steps", scale: "linear" }, series: [{ name: "measured", role: "measured", points: [[8, 1.6], [64, 2.97], [512, 4.4], [4096, 5.87], [16384, 6.84]] }, { name: "published", role: "published", points: [[8, 1.72], [16, 2.09], [128, 3.39], [1024, 4.89], [16384, 6.87]] }] }] };
const swarm = { kind: "swarm", nodes: [{ id: "me", label: "this node", progress: 0.4 }, ...peers.map((peer) => ({ id: peer.address, label: peer.client, progress: peer.progress }))], edges: peers.flatMap((peer, n) => [{ from: peer.address, to: "me", rate: 2e5 * n }, ...(n % 2 ? [{ from: "me", to: peer.address, rate: 3e5 }] : [])]) };
const kademlia = { kind: "kademlia", id: hex(5), buckets: Array.from({ length: 10 }, (_, bits) => ({ bits, nodes: Array.from({ length: Math.max(1, 8 - bits) }, (_, n) => ({ id: hex(bits * 9 + n), address: `192.0.2.${n}:6881`, state: ["good", "good", "questionable", "bad"][n % 4] })), replacements: 2 })) };
const chord = { kind: "chord", id: "1fffff".padEnd(40, "0"), predecessor: { id: "0fffff".padEnd(40, "0"), address: "192.0.2.9:6881" }, successors: ["2a", "31", "38"].map((id) => ({ id: id.padEnd(40, "0"), address: "192.0.2.3:1" })), fingers: ["3a", "5a", "9f", "e0"].map((id) => ({ start: id, id: id.padEnd(40, "0"), address: "192.0.2.4:1" })) };
const networks = [["bittorrent", "BitTorrent", swarm], ["kademlia", "Kademlia", kademlia], ["chord", "Chord", chord]].map(([name, title, picture]) => ({ name, title, state: "up", error: null, addresses: ["127.0.0.1:6881"], peers: 9, detail: { stored_values: 12 }, picture }));
const setting = (name, value, kind, what) => ({ name, value, default: value, source: "default", kind, what, live: true });
const answers = {
  "/login": { authenticated: true, methods: ["token"] },
  "/log": { entries: Array.from({ length: 12 }, (_, n) => ({ seq: n, time: now - n, level: ["info", "warn", "error"][n % 3], target: "net::session", message: `Something of note, number ${n}` })), next: 12 },
  "/library": { folders: [{ id: 1, path: "/srv/share", state: "hashing", error: null, files: 120, bytes: 9e9, bytes_hashed: 4e9 }], files: 120, bytes: 9e9, bytes_hashed: 4e9 },
  "/library/files": { files: Array.from({ length: 8 }, (_, n) => ({ id: n, folder: 1, path: `music/album/${n} track.flac`, name: `${n} track.flac`, length: 3e7, modified: now, sha256: n % 2 ? hex(n, 64) : null })), total: 8 },
  "/search": { results: [{ network: "transfers", name: NAMES[1], length: 7e8, id: transfers[0]?.id, sources: 4 }, { network: "library", name: "7 track.flac", length: 3e7, id: 7, sources: 1 }], total: 2, networks: [] },
  "/networks": { networks },
  "/lab/claims": { claims: [claim("chord.path_length.mean", "Lookups take half of log2 N steps"), claim("swarm.rarest_first", "Rarest first keeps pieces alike in number")] },
  "/lab/runs": { runs: [{ id: 1, claim: "chord.path_length.mean", size: "small", state: "done", progress: 1, error: null, seconds: 2.1 }, { id: 2, claim: "swarm.rarest_first", size: "small", state: "running", progress: 0.4, error: null, seconds: null }] },
  "/lab/runs/1": { id: 1, claim: "chord.path_length.mean", size: "small", state: "done", progress: 1, error: null, seconds: 2.1, record },
  "/settings": { file: "/home/ada/.config/shoal/config.toml", settings: [setting("transfers.download_dir", "/srv/downloads", "text", "Where transfers are saved"), setting("transfers.upload_limit", null, "rate", "Bytes per second, all transfers together"), setting("network.utp", true, "bool", "Whether to speak uTP"), setting("network.listen", ["0.0.0.0:6881"], "list", "Where peers are accepted")] },
};
const files = { files: [{ index: 0, path: "film.mkv", length: 7e8, bytes_have: 3e8, priority: "normal", type: "video/x-matroska", stream: "/stream/x/0" }, { index: 1, path: "subtitles/en.srt", length: 9e4, bytes_have: 9e4, priority: "high", type: "text/plain", stream: null }] };

createServer(async (request, response) => {
  const { pathname } = new URL(request.url, "http://localhost");
  const say = (code, type, body) => response.writeHead(code, { "Content-Type": type, "Content-Security-Policy": CSP }).end(body);
  if (pathname === "/api/v1/events") {
    response.writeHead(200, { "Content-Type": "text/event-stream", "Content-Security-Policy": CSP });
    const send = (name, data) => response.write(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`);
    send("status", status());
    send("transfers", { all: true, transfers, removed: [] });
    const timer = setInterval(() => send("status", status()), 1000);
    request.on("close", () => clearInterval(timer));
    return;
  }
  if (pathname.startsWith("/api/v1")) {
    const path = pathname.slice(7);
    const one = path.match(/^\/transfers\/[^/]+\/(\w+)$/)?.[1];
    const value = one === "files" ? files : one === "peers" ? { peers, peers_past: [] } : one === "trackers" ? { trackers: [{ url: "udp://tracker.example.org:6969/announce", seeds: 12, leechers: 3, error: null }, { url: "http://old.example.org/announce", seeds: null, leechers: null, error: "timed out" }] } : one === "pieces" ? { pieces_total: 2800, piece_length: 262144, have: bits.toString("base64"), availability: null } : path.startsWith("/networks/") ? networks.find((network) => path.endsWith(network.name)) : answers[path];
    return value ? say(200, "application/json", JSON.stringify(value)) : say(404, "application/json", JSON.stringify({ error: { kind: "not_found", message: "Nothing is there.", hint: null } }));
  }
  try {
    const file = normalize(pathname === "/" ? "/index.html" : pathname);
    say(200, TYPES[file.split(".").pop()] ?? "text/plain", await readFile(join(web, file)));
  } catch {
    say(404, "text/plain", "not found");
  }
}).listen(Number(port), "127.0.0.1", () => console.log("ready"));
