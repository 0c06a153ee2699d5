// A video plays in the browser while it is fetched, and from wherever one jumps to. ffmpeg makes it.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { statSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";

import { end, folder, open, publish, up } from "./harness.mjs";

const SECONDS = 60;
/** As many bytes a second as the seed sends: more than the video has, or a browser waits for most of it before it plays. */
const UP = "24K";

/** A test picture with a tone, VP8 and Opus in WebM, about 15 KB a second; whether there is an ffmpeg that makes it. */
function film(path) {
  const made = spawnSync("ffmpeg", [
    "-loglevel", "error", "-f", "lavfi", "-i", `testsrc2=size=128x96:rate=8:duration=${SECONDS}`,
    "-f", "lavfi", "-i", `sine=frequency=330:duration=${SECONDS}`, "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "16",
    "-b:v", "100k", "-g", "16", "-c:a", "libopus", "-b:a", "16k", path,
  ]);
  return made.status === 0;
}

after(end);

test("a video plays while it is fetched, and jumps to its end", async (context) => {
  const path = join(folder("film"), "film.webm");
  if (!film(path)) return context.skip("no ffmpeg");
  const { size } = statSync(path);
  const node = await (await up()).start();
  const seed = await publish(path, "--up", UP);
  const { page, complaints } = await open();
  await page.goto(node.link);
  const { id } = await node.call("POST", "/transfers", { source: seed.magnet });
  await page.goto(`${node.origin}/#/transfers/${id}`);
  await page.getByRole("tab", { name: "Files" }).click();
  await page.getByRole("button", { name: "Play" }).click();
  const have = async () => (await node.call("GET", `/transfers/${id}`)).bytes_have;
  const played = (seconds) => page.waitForFunction((at) => document.querySelector("video")?.currentTime > at, seconds);

  await played(1);
  const begun = await have();
  assert.ok(begun < size, `it plays while it is fetched: ${begun} of ${size}`);

  // What is looked at comes first: the last seconds play while most of what is before them is not there.
  await page.evaluate((at) => { document.querySelector("video").currentTime = at; }, SECONDS - 4);
  await played(SECONDS - 3.5);
  const jumped = await have();
  assert.ok(jumped < size, `it plays from where one jumps to: ${jumped} of ${size}`);
  assert.equal(await page.evaluate(() => document.querySelector("video").error), null);
  context.diagnostic(`of ${size} bytes ${begun} were there when it played, and ${jumped} when its end did`);
  assert.deepEqual(complaints, []);
});
