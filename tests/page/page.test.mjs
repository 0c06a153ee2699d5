// The page, driven as people drive it, against real nodes on the loopback address.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { PATIENCE, barriers, end, folder, open, publish, shoal, sound, up } from "./harness.mjs";
import { nested } from "./torrents.mjs";

const HOSTILE = "<img src=x onerror=\"document.title='broken'\">";
const SECONDS = 40;
const PASSWORD = "correct horse";

let node;
let user;
let seed;

const view = (name) => user.page.goto(`${node.origin}/#/${name}`);
const heading = (name) => user.page.getByRole("heading", { level: 1, name }).waitFor();
const sha1 = (path) => createHash("sha1").update(readFileSync(path)).digest("hex");

before(async () => {
  node = await (await up()).start();
  user = await open();
});

after(end);

test("the first start explains itself in three steps", async () => {
  await user.page.goto(node.link);
  const dialog = user.page.getByRole("dialog", { name: "Welcome to Shoal" });
  await dialog.waitFor();
  assert.equal(await dialog.getByRole("listitem").count(), 3);
  assert.deepEqual(await barriers(user.page), []);
  await user.page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  await user.page.getByText("Nothing here yet").waitFor();
  assert.ok(!user.page.url().includes("code="), "the code is not left in the address");
});

test("a magnet link is added, played while it comes, and finished", async () => {
  const { page } = user;
  const share = join(folder("share"), HOSTILE);
  mkdirSync(share);
  writeFileSync(join(share, "tone.wav"), sound(SECONDS));
  writeFileSync(join(share, "notes.txt"), "not wanted\n".repeat(20_000));
  seed = await publish(share, "--up", "200K");

  await page.getByRole("button", { name: "Add", exact: true }).first().click();
  await page.getByLabel("Magnet link").fill(seed.magnet);
  await page.getByLabel("From the beginning").check();
  await page.getByRole("button", { name: "Fetch" }).click();
  const row = page.getByRole("row").filter({ hasText: HOSTILE });
  await row.getByRole("link").click();
  await page.getByRole("heading", { level: 1, name: HOSTILE }).waitFor();

  // What is not wanted is not fetched.
  await page.getByRole("tab", { name: "Files" }).click();
  const priority = page.getByLabel("Priority of", { exact: false }).and(page.locator("tr:has-text('notes.txt') select"));
  await priority.selectOption("skip");
  const [{ id }] = (await node.call("GET", "/transfers")).transfers;
  const files = async () => (await node.call("GET", `/transfers/${id}/files`)).files;
  await page.waitForFunction(async (path) => {
    const { files } = await (await fetch(path)).json();
    return files.some((file) => file.path.endsWith("notes.txt") && file.priority === "skip");
  }, `/api/v1/transfers/${id}/files`);

  await page.locator("tr", { hasText: "tone.wav" }).getByRole("button", { name: "Play" }).click();
  const played = await page.waitForFunction(() => {
    const audio = document.querySelector("audio");
    return audio && audio.currentTime > 0.3 ? audio.currentTime : null;
  });
  const tone = (await files()).find((file) => file.path.endsWith("tone.wav"));
  assert.ok((await played.jsonValue()) > 0, "it plays");
  assert.ok(tone.bytes_have < tone.length, `while it comes: ${tone.bytes_have} of ${tone.length}`);
  // A seek goes ahead of what has come, which is fetched at once.
  await page.evaluate((at) => { document.querySelector("audio").currentTime = at; }, SECONDS - 2);
  await page.waitForFunction((at) => document.querySelector("audio").currentTime > at, SECONDS - 1.8);

  await page.getByRole("tab", { name: "Overview" }).click();
  await page.getByText("Seeding").first().waitFor();
  const [copy] = readdirSync(join(node.home, "downloads")).filter((name) => !name.startsWith("."));
  const arrived = join(node.home, "downloads", copy, "tone.wav");
  assert.equal(sha1(arrived), sha1(join(share, "tone.wav")));

  // Text of strangers is text.
  assert.equal(await page.locator("img[onerror]").count(), 0);
  assert.ok(!(await page.title()).includes("broken"));
});

test("what is wanted again is fetched again, and a transfer is paused and resumed", async () => {
  const { page } = user;
  await page.getByRole("tab", { name: "Files" }).click();
  await page.locator("tr:has-text('notes.txt') select").selectOption("normal");
  await page.locator("tr:has-text('notes.txt')").getByText("100").waitFor();
  await page.getByRole("button", { name: "Pause" }).click();
  await page.getByRole("button", { name: "Resume" }).click();
  await page.getByRole("button", { name: "Pause" }).waitFor();
});

test("the swarm is seen by who sends to whom", async () => {
  const { page } = user;
  const share = folder("swarm");
  writeFileSync(join(share, "swarm.bin"), randomBytes(3 << 20));
  const source = await publish(join(share, "swarm.bin"), "--up", "100K");
  const other = await (await up()).start();
  // The other fetcher knows us and the source; what it lacks of what we have it can have from us.
  await node.call("POST", "/transfers", { source: source.magnet });
  await other.call("POST", "/transfers", { source: `${source.magnet}&x.pe=${node.peer}` });
  await view("networks/bittorrent");
  await heading("Networks");
  const rate = "[0-9.,]+ (B|KiB|MiB)/s";
  await page.getByRole("img", { name: new RegExp(`→ This node: ${rate}`, "i") }).waitFor();
  await page.getByRole("img", { name: new RegExp(`This node → .*: ${rate}`, "i") }).waitFor();
  // Two of them: where it comes from, and who fetches as we do.
  await page.getByText("The same as a table").click();
  const rows = page.locator("details tbody tr");
  await rows.filter({ hasText: /→|This node/i }).first().waitFor();
  const { picture } = await node.call("GET", "/networks/bittorrent");
  assert.equal(picture.nodes.filter(({ id }) => id !== "me").length, 2, JSON.stringify(picture.nodes));
  await other.stop();
  await source.stop();
  await page.getByText("Nothing moves at the moment").or(page.getByRole("img", { name: "Nothing moves at the moment" })).first().waitFor();
});

test("a ring of Chord is joined, seen and left", async () => {
  const { page } = user;
  const other = await (await up()).start();
  await other.call("POST", "/networks/chord/join", { peers: [], listen: "127.0.0.1:0" });
  const { addresses } = await other.call("GET", "/networks/chord");
  await view("networks/chord");
  await page.getByLabel("Nodes to begin with").fill(addresses[0]);
  await page.getByRole("button", { name: "Join" }).click();
  await page.getByRole("img", { name: "The ring as this node knows it: 1 successor" }).waitFor();
  assert.deepEqual(await barriers(page), []);
  await page.getByRole("button", { name: "Leave" }).click();
  await page.getByRole("button", { name: "Join" }).waitFor();
  await other.stop();
});

test("the other hash tables are joined, each seen by a picture of its own, and left", async () => {
  const { page } = user;
  const other = await (await up()).start();
  const pictures = {
    pastry: /^The leaf set, and the table by prefix: .*Leaf behind us: 1/, tapestry: /^The table by prefix, with backups: In the table: 1/,
    kelips: /^The groups, of ours all members: (Member of our group|Contact): 1/, can: /^The zones of the torus beside ours: Zone beside ours: 1/,
    viceroy: /^The butterfly, with our seven links: .*Successor: 1/,
  };
  for (const [name, picture] of Object.entries(pictures)) {
    const { addresses } = await other.call("POST", `/networks/${name}/join`, { peers: [], listen: "127.0.0.1:0" });
    await view(`networks/${name}`);
    await page.getByLabel("Nodes to begin with").fill(addresses[0]);
    await page.getByRole("button", { name: "Join" }).click();
    await page.getByRole("img", { name: picture }).waitFor();
    // The same in words.
    await page.getByText("The same as a table").click();
    await page.getByRole("cell", { name: addresses[0] }).first().waitFor();
    assert.deepEqual(await barriers(page), []);
    await page.getByRole("button", { name: "Leave" }).click();
    await page.getByRole("button", { name: "Join" }).waitFor();
  }
  await other.stop();
});

test("Kademlia is joined, its buckets are seen, and it is left", async () => {
  const { page } = user;
  const other = await (await up()).start();
  await other.call("POST", "/networks/kademlia/join", { peers: [] });
  const { addresses } = await other.call("GET", "/networks/kademlia");
  await view("networks/kademlia");
  await page.getByLabel("Nodes to begin with").fill(addresses[0]);
  await page.getByRole("button", { name: "Join" }).click();
  await page.getByRole("img", { name: /1 node share/ }).waitFor();
  await page.getByRole("button", { name: "Leave" }).click();
  await page.getByRole("button", { name: "Leave" }).waitFor({ state: "detached" });
  await other.stop();
});

test("a search leads to what it found", async () => {
  const { page } = user;
  await view("search");
  await page.getByLabel("Words to look for").fill("onerror");
  await page.keyboard.press("Enter");
  await page.getByRole("link", { name: `Open ${HOSTILE}` }).click();
  await page.getByRole("heading", { level: 1, name: HOSTILE }).waitFor();
});

/** What strangers' networks would answer: `[name, length, sources, content, why it is suspicious, networks]`. */
const answered = (hits) => hits.map(([name, length, sources, sha1, odd, ...networks], number) => {
  const found = networks.map((network) => ({ network, id: `${network}-${number}`, sources }));
  const event = { number, name, length, type: "video/mp4", network: networks[0], id: found[0].id, sources, sha1, infohash_v1: null, infohash_v2: null, sha256: null, tth: null, found, score: 0, odd };
  return `event: result\ndata: ${JSON.stringify(event)}\n\n`;
}).join("");

test("results are merged, filtered and marked, and a saved search tells what is new", async () => {
  const { page, context } = user;
  const first = [
    ["Dawn.mp4", 7000, 4, "aa", [], "gnutella", "napster"],
    ["noon flood.mp4", 50, 900, "b1", ["size"], "gnutella"], ["noon flood 2.mp4", 50, 900, "b2", ["size"], "gnutella"], ["noon flood 3.mp4", 50, 900, "b3", ["size"], "gnutella"],
    ["noon dusk.mp4", 50, 900, "b4", ["size"], "gnutella"],
    ["one name.mp4", 71, 5, "c1", ["name"], "napster"], ["One_Name.mp4", 72, 5, "c2", ["name"], "napster"],
  ];
  let hits = first;
  await context.route(/\/api\/v1\/search\?/, (route) => route.fulfill({ contentType: "text/event-stream", body: answered(hits) }));
  await view("search");
  // The node itself finds the one that is being fetched.
  await page.getByLabel("Words to look for").fill("img");
  await page.keyboard.press("Enter");
  await page.getByText("7 results").waitFor();
  // One row with the networks of both, before what is suspicious, however many have that.
  const rows = page.locator("tbody tr");
  assert.match(await rows.first().innerText(), /Dawn\.mp4[^]*Gnutella[^]*Napster/);
  assert.equal(await page.getByText("One size, many contents").count(), 4);
  assert.equal(await page.getByText("Same name, other content").count(), 2);
  assert.deepEqual(await barriers(page), []);
  await page.getByLabel("Leave out what is suspicious").check();
  assert.equal(await rows.count(), 1);
  await page.getByLabel("Leave out what is suspicious").uncheck();
  await page.getByLabel("Filter the results").fill("noon -dusk");
  assert.equal(await rows.count(), 3);
  await page.getByRole("button", { name: "Keep watching" }).click();
  // What it finds at once has been seen, and is not what comes later.
  await page.getByText("“img” is watched.").waitFor();

  // What comes later is told, and what was seen can be left out.
  hits = [...first, ["new at last.mp4", 99, 1, "d1", [], "gnutella"]];
  await view("transfers");
  await page.reload();
  await page.locator(".nav").getByText("1 new").waitFor();
  await page.getByRole("link", { name: /Search/ }).click();
  await page.getByRole("link", { name: /^img/ }).click();
  await page.getByText("8 results").waitFor();
  await page.getByLabel("Leave out what I have already seen").check();
  await page.getByText("8 results, 1 shown").waitFor();
  await rows.locator("button.link").filter({ hasText: "new at last.mp4" }).waitFor();
  assert.equal(await rows.count(), 1);
  await page.getByRole("button", { name: "Watch “img” no longer" }).click();
  await page.locator(".nav").getByText("1 new").waitFor({ state: "detached" });
  await context.unroute(/\/api\/v1\/search\?/);
});

test("a library is listed page by page, found in, and shared from", async () => {
  const { page } = user;
  const shared = join(node.home, "share", "many");
  mkdirSync(shared);
  const FILES = 450;
  for (let n = 0; n < FILES; n += 1) writeFileSync(join(shared, `paper ${String(n).padStart(3, "0")}.txt`), `${n}`);
  await view("library");
  await page.getByPlaceholder("Full path of the folder").fill(shared);
  await page.getByRole("button", { name: "Add a folder" }).click();
  await page.getByRole("status").filter({ hasText: `${FILES} files` }).waitFor();
  assert.ok((await page.locator(".item").count()) < 60, "only rows in sight exist");
  await page.locator(".rows").evaluate((rows) => rows.scrollTo(0, rows.scrollHeight));
  await page.getByText("paper 449.txt").waitFor();
  await page.getByLabel("Find in the library").fill("paper 123");
  await page.getByRole("status").filter({ hasText: "1 file" }).waitFor();
  await page.getByRole("button", { name: "Share paper 123.txt" }).click();
  await page.getByRole("link", { name: "See it in Transfers" }).click();
  await page.getByRole("row").filter({ hasText: "paper 123.txt" }).waitFor();
  await view("library");
  await page.getByRole("button", { name: /^Take .* out$/ }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Take out" }).click();
  await page.getByText("No folder is in the library").waitFor();
});

test("it is shown what the router was asked", async () => {
  const { page } = user;
  await view("networks");
  await page.getByRole("heading", { name: "Reachable from outside" }).waitFor();
  await page.getByText("No router was asked").waitFor();
});

test("a network that the page does not know shows its state, and what can be done there", async () => {
  const { page, context } = user;
  const network = { name: "someday", title: "Some day's network", state: "up", error: null, addresses: ["127.0.0.1:1"], peers: 3, can_join: true, can_leave: true, detail: { shared_files: 12 }, verbs: ["join", "publish", "search", "fetch"] };
  await context.route(/\/api\/v1\/networks$/, (route) => route.fulfill({ json: { networks: [network] } }));
  await context.route(/\/api\/v1\/networks\/someday$/, (route) => route.fulfill({ json: { ...network, picture: { kind: "unheard_of" } } }));
  await view("networks/someday");
  await page.reload();
  await page.getByText("Shared files").waitFor();
  for (const name of ["Search", "Publish", "Fetch"]) await page.getByRole("main").getByRole("link", { name, exact: true }).waitFor();
  await page.getByRole("button", { name: "Leave" }).waitFor();
  await page.getByRole("button", { name: "Ask them" }).waitFor();
  assert.deepEqual(await barriers(page), []);
  await context.unroute(/\/api\/v1\/networks$/);
  await context.unroute(/\/api\/v1\/networks\/someday$/);
});

test("a claim is run, and its curve is beside the published one", async () => {
  const { page } = user;
  await view("lab");
  await page.getByPlaceholder("Find a claim").fill("chord.path_length.mean");
  await page.getByRole("button", { name: "chord.path_length.mean" }).click();
  await page.getByRole("button", { name: "Run" }).click();
  const run = page.getByRole("article");
  // The overlay is seen at work, and said in words.
  await run.getByRole("img", { name: /lookups on a ring of [\d,]+ nodes. [\d,]+ messages/ }).waitFor();
  await run.locator("figcaption").getByText("Each colour is one of them").waitFor();
  await run.locator(".badge", { hasText: /Reproduced|Departs/ }).waitFor();
  assert.deepEqual(await barriers(page), []);
  await run.locator(".uplot canvas").first().waitFor();
  await run.getByText("published mean").waitFor();
  await run.getByText("shoal lab run chord.path_length.mean").waitFor();
});

test("each kind of network is seen at work in the lab", async () => {
  const { page } = user;
  const pictures = {
    "can.hops.dimensions": /from zone to zone among 1,024 nodes/,
    "kelips.failure": /in 14 groups/, "viceroy.degree": /on \d+ levels/, "search.ttl_tree": /^A question among 40 peers, from the middle outwards/,
  };
  await view("lab");
  for (const [name, picture] of Object.entries(pictures)) {
    await page.getByPlaceholder("Find a claim").fill(name);
    await page.getByRole("button", { name: new RegExp(`${name}$`) }).click();
    await page.getByRole("button", { name: "Run" }).click();
    await page.getByRole("article").getByRole("img", { name: picture }).waitFor();
    for (const { id } of (await node.call("GET", "/lab/runs")).runs) await node.call("DELETE", `/lab/runs/${id}`);
  }
  assert.deepEqual(await barriers(page), []);
});

test("every view can be used by everybody, in light and dark, wide and narrow", async () => {
  const { page } = user;
  const [{ id }] = (await node.call("GET", "/transfers")).transfers;
  const views = ["transfers", `transfers/${id}`, "library", "search", "networks/bittorrent", "networks/kademlia", "networks/chord", "lab", "settings", "log"];
  for (const [colorScheme, width] of [["light", 1400], ["dark", 1400], ["light", 400], ["dark", 400]]) {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize({ width, height: 860 });
    for (const name of views) {
      await view(name);
      await page.getByRole("heading", { level: 1 }).waitFor();
      assert.deepEqual(await barriers(page), [], `${name}, ${colorScheme}, ${width}`);
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(overflow <= 0, `${name} is ${overflow} pixels too wide at ${width}`);
    }
  }
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width: 1280, height: 860 });
});

test("the keyboard is enough", async () => {
  const { page } = user;
  await view("transfers");
  await page.reload();
  await page.getByRole("row").filter({ hasText: HOSTILE }).waitFor();
  await page.keyboard.press("Tab");
  await page.getByRole("link", { name: "Skip to the content" }).and(page.locator(":focus")).waitFor();
  await page.keyboard.press("Enter");
  await page.locator("main:focus").waitFor();
  await page.getByRole("button", { name: "Add", exact: true }).press("Enter");
  await page.getByRole("dialog").waitFor();
  await page.getByRole("tab", { name: "Fetch" }).press("ArrowRight");
  await page.getByLabel("File or folder to share").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await page.getByRole("row").filter({ hasText: HOSTILE }).getByRole("link").press("Enter");
  await page.getByRole("tab", { name: "Overview" }).press("ArrowRight");
  await page.getByRole("tab", { name: "Files", selected: true }).and(page.locator(":focus")).waitFor();
});

test("each view is reached and used by the keyboard alone", async () => {
  const { page } = user;
  await view("transfers");
  await page.reload();
  await page.getByRole("heading", { level: 1 }).waitFor();
  const names = ["Transfers", "Library", "Search", "Networks", "Lab", "Settings", "Log"];
  for (const name of names) {
    await page.getByRole("navigation", { name: "Views" }).getByRole("link", { name }).focus();
    await page.keyboard.press("Enter");
    await heading(name);
    // From the content on, the Tab key comes by everything that can be used, and it can be seen where it is.
    await page.locator("main").focus();
    const usable = await page.locator("main :is(a[href], button:not(:disabled), input:not(.hidden), select, textarea, summary):visible").count();
    let seen = 0;
    for (let press = 0; press < Math.min(usable, 12); press += 1) {
      await page.keyboard.press("Tab");
      seen += await page.evaluate(() => {
        const at = document.activeElement;
        const row = at.closest(".transfer");
        const marked = [at, row].some((element) => element && getComputedStyle(element).outlineStyle !== "none");
        return Number(document.querySelector("main").contains(at) && marked);
      });
    }
    assert.ok(seen >= Math.min(usable, 12) - 1, `${name}: ${seen} of ${usable} are reached and seen`);
  }
});

test("who wants less motion sees none", async () => {
  const { page } = user;
  await page.emulateMedia({ reducedMotion: "reduce" });
  await view("transfers");
  await page.getByRole("row").nth(1).waitFor();
  const moving = await page.evaluate(() => [...document.querySelectorAll("*")].filter((element) => {
    const { transitionDuration, animationName } = getComputedStyle(element);
    return transitionDuration.split(", ").some((time) => parseFloat(time) > 0) || animationName !== "none";
  }).length);
  assert.equal(moving, 0);
  await page.emulateMedia({ reducedMotion: null });
});

test("others log in by token or password, and only by the right one", async () => {
  const second = await open();
  await second.page.goto(node.origin);
  await second.page.getByRole("heading", { name: "Log in to this node" }).waitFor();
  assert.deepEqual(await barriers(second.page), []);
  await second.page.getByLabel("Access token").fill("wrong");
  await second.page.keyboard.press("Enter");
  await second.page.getByRole("alert").waitFor();
  await second.page.getByLabel("Access token").fill(node.token);
  await second.page.keyboard.press("Enter");
  await second.page.getByRole("row").filter({ hasText: HOSTILE }).waitFor();

  await second.page.goto(`${node.origin}/#/settings`);
  await second.page.getByLabel("New password").fill(PASSWORD);
  await second.page.getByRole("button", { name: "Set the password" }).click();
  await second.page.getByText("The password is set.").waitFor();
  const third = await open();
  await third.page.goto(node.origin);
  await third.page.getByLabel("Password").fill(PASSWORD);
  await third.page.keyboard.press("Enter");
  await third.page.getByRole("row").filter({ hasText: HOSTILE }).waitFor();
  await third.page.goto(`${node.origin}/#/settings`);
  await third.page.getByRole("button", { name: "Log out" }).click();
  await third.page.getByRole("heading", { name: "Log in to this node" }).waitFor();
  await second.context.close();
  await third.context.close();

  // A new password ends what was begun with the old one.
  await user.page.bringToFront();
  await user.page.reload();
  await user.page.getByLabel("Password").fill(PASSWORD);
  await user.page.keyboard.press("Enter");
  await user.page.getByRole("row").filter({ hasText: HOSTILE }).waitFor();
});

test("a name that was led to this node's address shows nothing", async () => {
  const { context } = user;
  const page = await context.newPage();
  const { port } = new URL(node.origin);
  const answer = await page.goto(`http://rebound.example:${port}/`);
  assert.equal(answer.status(), 403);
  assert.equal(await page.locator("#app").count(), 0);
  await page.close();
});

test("ap_02 ap_12 another site changes nothing, reads nothing, and shows nothing of ours in a frame", async () => {
  const { context } = user;
  const before = await node.call("GET", "/transfers");
  const evil = createServer((request, response) => {
    response.setHeader("Content-Type", "text/html").end(`<!doctype html><iframe name=framed src="${node.origin}/"></iframe>
      <form id=form method=post action="${node.origin}/api/v1/transfers" enctype="text/plain" target=sink><input name='{"source":"magnet:?xt=urn:btih:0123456789abcdef0123456789abcdef01234567","a":"' value='"}'></form><iframe name=sink></iframe>`);
  });
  await new Promise((resolve) => evil.listen(0, "127.0.0.1", resolve));
  const page = await context.newPage();
  await page.goto(`http://localhost:${evil.address().port}/`);
  const refused = page.waitForResponse((response) => response.url().endsWith("/transfers") && response.request().method() === "POST");
  await page.evaluate(() => document.getElementById("form").submit());
  assert.equal((await refused).status(), 403);
  const read = await page.evaluate(async (origin) => {
    const body = JSON.stringify({ source: "magnet:?xt=urn:btih:0123456789abcdef0123456789abcdef01234567" });
    const tries = [
      fetch(`${origin}/api/v1/transfers`, { method: "POST", mode: "no-cors", credentials: "include", body }).then((answer) => answer.status),
      fetch(`${origin}/api/v1/transfers`, { method: "POST", credentials: "include", headers: { "Content-Type": "application/json" }, body }).then((answer) => answer.status),
      fetch(`${origin}/api/v1/status`, { credentials: "include" }).then((answer) => answer.text()),
      new Promise((resolve) => { new EventSource(`${origin}/api/v1/events`, { withCredentials: true }).onerror = () => resolve("refused"); }),
    ];
    return (await Promise.allSettled(tries)).map(({ value }) => value ?? "refused");
  }, node.origin);
  assert.deepEqual(read, Array(4).fill("refused"));
  const framed = page.frame("framed");
  assert.ok(!framed.url().startsWith(node.origin), `framed: ${framed.url()}`);
  const after = await node.call("GET", "/transfers");
  assert.deepEqual(after.transfers.map(({ id }) => id), before.transfers.map(({ id }) => id));
  await page.close();
  evil.close();
});

test("to_01 a torrent whose paths lead out of its folder finds nothing there", async () => {
  const { page } = user;
  await page.bringToFront();
  const bytes = Buffer.from("out of bounds");
  // Where the paths lead, what they name is there, whole: whoever follows them has it at once.
  const outside = join(node.home, "escaped.txt");
  writeFileSync(outside, bytes);
  for (const [name, path] of [["..", ["escaped.txt"]], ["inside", ["..", "..", "escaped.txt"]]]) {
    const file = join(node.home, "share", "escape.torrent");
    writeFileSync(file, nested(name, path, bytes));
    await view("transfers");
    await page.getByRole("button", { name: "Add", exact: true }).click();
    await page.getByLabel("Or choose a torrent file").setInputFiles(file);
    await page.getByRole("button", { name: "Fetch" }).click();
    await page.getByRole("dialog").waitFor({ state: "detached" });
    const row = page.getByRole("row").filter({ has: page.getByRole("link", { name, exact: true }) });
    await row.getByText("Downloading").waitFor();
    await row.getByText("0%").waitFor();
  }
  assert.equal(readFileSync(outside, "utf8"), "out of bounds");
  for (const path of ["/..%2f..%2fstate/api-token", "/%2e%2e/config.toml", "/js/../../config.toml", "/stream/x/..%2f..%2fconfig.toml"]) {
    const answer = await fetch(node.origin + path);
    assert.ok([401, 404].includes(answer.status), `${path}: ${answer.status}`);
  }
});

test("a node that ends and comes back is noticed", async () => {
  const { page } = user;
  await page.bringToFront();
  const { port } = new URL(node.origin);
  await view("transfers");
  await heading("Transfers");
  assert.equal(await node.stop(), 0);
  await page.getByRole("alert").filter({ hasText: "does not answer" }).waitFor();
  const again = shoal(["up", "--api", `127.0.0.1:${port}`, "--config", node.config, "--json", "--stop-at-eof"]);
  await again.json("up");
  // The login of the last run is over; the page asks for another instead of showing what is old.
  await page.getByRole("heading", { name: "Log in to this node" }).waitFor();
  await page.getByLabel("Password").fill(PASSWORD);
  await page.keyboard.press("Enter");
  await page.getByRole("row").filter({ hasText: HOSTILE }).waitFor();
});

test("the demo shows its swarm on the page, and ends as it did without", async () => {
  // No browser is to be found there.
  const demo = shoal(["demo", "--size", "8MiB", "--peers", "3", "--up", "1MiB", "--open"], { env: { PATH: "/nonexistent" }, stream: "stderr" });
  const link = await demo.next((line) => line.match(/^Page +(http\S+)/)?.[1]);
  const guest = await open();
  await guest.page.goto(link);
  await guest.page.getByRole("img", { name: /source → peer 1: / }).waitFor();
  await guest.page.getByRole("heading", { name: "Who sent to whom" }).waitFor();
  await guest.page.getByText("Every byte right").waitFor();
  assert.deepEqual(await barriers(guest.page), []);
  assert.deepEqual(guest.complaints, []);
  demo.child.kill("SIGINT");
  assert.equal(await demo.ended, 0);
  assert.ok(demo.lines.some((line) => line.startsWith("Verified: SHA-256")), demo.lines.join("\n"));
});

test("the page complained of nothing", () => {
  // Answers of 401 and dropped connections are what these tests asked for.
  const expected = /status of 40[01349]|ERR_CONNECTION_REFUSED|ERR_INCOMPLETE|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|ERR_CONTENT_LENGTH_MISMATCH/;
  assert.deepEqual(user.complaints.filter((line) => !expected.test(line)), []);
});
