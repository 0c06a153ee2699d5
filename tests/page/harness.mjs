// What the tests of the page are made of: nodes and publishers as processes of their own, browsers, and waiting for
// what they say. SHOAL names the program, MODULES the folder with node_modules; WEB, if it is set, a folder from which
// the page's files are taken, so that a change to them can be tried without building.

import { spawn } from "node:child_process";
import { mkdtempSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const require = createRequire(join(process.env.MODULES ?? process.cwd(), "package.json"));
const { chromium } = require("playwright-core");
const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const SHOAL = process.env.SHOAL ?? "shoal";

/** How long anything may take on a busy machine. */
export const PATIENCE = Number(process.env.PATIENCE ?? 60_000);

const CHROMIUM = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP rebound.example 127.0.0.1",
];

const folders = [];
const processes = [];

export function folder(name) {
  const made = mkdtempSync(join(tmpdir(), `shoal-page-${name}-`));
  folders.push(made);
  return made;
}

/** Runs `shoal`; `next(what)` resolves to the first line from now on of which `what` makes something. */
export function shoal(args, { env = {}, stream = "stdout" } = {}) {
  const child = spawn(SHOAL, args, { stdio: ["pipe", "pipe", "pipe"], env: { ...process.env, ...env } });
  const lines = [];
  const waiting = new Set();
  const said = (line) => {
    lines.push(line);
    for (const wait of waiting) wait(line);
  };
  for (const name of ["stdout", "stderr"]) {
    createInterface({ input: child[name] }).on("line", (line) => (name === stream ? said(line) : lines.push(line)));
  }
  const ended = new Promise((resolve) => child.on("exit", (code) => resolve(code)));
  const next = (what) =>
    new Promise((resolve, reject) => {
      const failed = (why) => reject(new Error(`shoal ${args[0]}: ${why}\n${lines.join("\n")}`));
      const timer = setTimeout(() => failed("said nothing of the kind in time"), PATIENCE);
      const wait = (line) => {
        const made = what(line);
        if (made === undefined || made === null || made === false) return;
        clearTimeout(timer);
        waiting.delete(wait);
        resolve(made);
      };
      ended.then(() => failed("ended"));
      waiting.add(wait);
      [...lines].forEach(wait);
    });
  const running = {
    child, lines, ended, next,
    json: (event) => next((line) => {
      const value = line.startsWith("{") ? JSON.parse(line) : {};
      return value.event === event ? value : null;
    }),
    async stop() {
      child.stdin.end();
      return ended;
    },
  };
  processes.push(running);
  return running;
}

/** A node with its page, in a folder of its own that can be shared. */
export async function up(settings = "") {
  const home = folder("node");
  for (const name of ["downloads", "share"]) mkdirSync(join(home, name));
  const config = join(home, "config.toml");
  writeFileSync(config, `[node]\nstate_dir = ${JSON.stringify(join(home, "state"))}
[network]\nlisten = ["127.0.0.1:0"]\nlsd = false\ndht = false\ndht_bootstrap = []
[transfers]\ndownload_dir = ${JSON.stringify(join(home, "downloads"))}\npublish_roots = [${JSON.stringify(home)}]\n${settings}`);
  const start = async () => {
    const node = shoal(["up", "--api", "127.0.0.1:0", "--config", config, "--json", "--stop-at-eof"]);
    const { api, link, addresses } = await node.json("up");
    const origin = api.replace(/\/$/, "");
    const token = readFileSync(join(home, "state", "api-token"), "utf8").trim();
    const call = async (method, path, body, headers = {}) => {
      const init = { method, headers: { Authorization: `Bearer ${token}`, ...headers } };
      if (body !== undefined) {
        init.headers["Content-Type"] ??= "application/json";
        init.body = typeof body === "string" || body instanceof Uint8Array ? body : JSON.stringify(body);
      }
      const answer = await fetch(`${origin}/api/v1${path}`, init);
      const text = await answer.text();
      if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
      return text && answer.headers.get("content-type")?.includes("json") ? JSON.parse(text) : text;
    };
    return { ...node, home, config, origin, link, token, peer: addresses[0], call };
  };
  return { home, start };
}

/** Seeds a path, and resolves to a magnet link that leads to the seed. */
export async function publish(path, ...options) {
  const seed = shoal(["publish", path, "--json", "--listen", "127.0.0.1:0", "--no-lsd", "--no-dht", "--stop-at-eof", ...options]);
  const { addresses } = await seed.json("listening");
  const { magnet } = await seed.json("torrent");
  await seed.next((line) => line.includes('"state":"seeding"'));
  return { ...seed, magnet: `${magnet}&x.pe=${addresses[0]}`, address: addresses[0] };
}

let browser = null;

/** A page of a new browser context, with what it complained of. */
export async function open(options = {}) {
  browser ??= await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: CHROMIUM });
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, ...options });
  context.setDefaultTimeout(PATIENCE);
  if (process.env.WEB) {
    await context.route(/\.(js|css)$/, (route) => route.fulfill({ path: join(process.env.WEB, new URL(route.request().url()).pathname) }));
  }
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  return { context, page, complaints };
}

/** What is seriously wrong for who cannot see or use a mouse, by WCAG 2.2 AA. */
export async function barriers(page) {
  // As a script of the tests', which the page's own policy is not about.
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"] }));
  const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  return serious.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html.slice(0, 120)).join(" | ")}`);
}

/** Ends whatever was begun. */
export async function end() {
  await browser?.close();
  await Promise.all(processes.map((running) => running.stop()));
  for (const made of folders) rmSync(made, { recursive: true, force: true });
}

/** A sound of so many seconds that a browser plays: 16-bit PCM, 48 kHz, two voices; 192,000 bytes a second. */
export function sound(seconds) {
  const [rate, voices] = [48_000, 2];
  const data = Buffer.alloc(seconds * rate * voices * 2);
  for (let at = 0; at < data.length; at += 2) data.writeInt16LE(Math.round(2000 * Math.sin(at / (40 + (at >> 17)))), at);
  const head = Buffer.alloc(44);
  head.write("RIFF", 0);
  head.writeUInt32LE(36 + data.length, 4);
  head.write("WAVEfmt ", 8);
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(1, 20);
  head.writeUInt16LE(voices, 22);
  head.writeUInt32LE(rate, 24);
  head.writeUInt32LE(rate * voices * 2, 28);
  head.writeUInt16LE(voices * 2, 32);
  head.writeUInt16LE(16, 34);
  head.write("data", 36);
  head.writeUInt32LE(data.length, 40);
  return Buffer.concat([head, data]);
}
