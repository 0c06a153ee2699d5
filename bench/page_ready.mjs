// How soon the page of a node can be used, and how long it is busy when what it lists changes: a browser opens it by
// the link of `shoal up`, once to log in, then TIMES more for each view.
//
//     MODULES=FOLDER node page_ready.mjs LINK
//
// MODULES is a folder with the node_modules of tests/page/package.json. Prints one line of JSON: milliseconds, medians
// and the worst, from the beginning of the navigation until rows are there, and of the longest task.

import { end, open } from "../tests/page/harness.mjs";

const TIMES = 7;
const [link] = process.argv.slice(2);
const { origin } = new URL(link);
const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
const said = {};

const { page, complaints } = await open();
await page.goto(link);
await page.getByRole("row").nth(5).waitFor();

const VIEWS = { transfers: ".transfer", library: ".file.item .name" };
for (const [view, row] of Object.entries(VIEWS)) {
  const times = [];
  for (let n = 0; n < TIMES; n += 1) {
    await page.goto(`${origin}/?${view}${n}#/${view}`);
    // Looked at once a frame, in the page.
    const ready = await page.waitForFunction((row) => document.querySelectorAll(row).length > 5 && performance.now(), row);
    times.push(await ready.jsonValue());
  }
  said[view] = { ready: Math.round(median(times)), worst: Math.round(Math.max(...times)), elements: await page.evaluate(() => document.querySelectorAll("*").length) };
}

// In the library: rows that were never in sight, from the scroll until they are drawn.
const scrolled = await page.evaluate(async (times) => {
  const rows = document.querySelector(".rows");
  const inSight = () => {
    const { top, bottom } = rows.getBoundingClientRect();
    const items = [...document.querySelectorAll(".file.item")].map((item) => [item, item.getBoundingClientRect()]);
    const seen = items.filter(([, at]) => at.bottom > top && at.top < bottom);
    return seen.length > 5 && seen.every(([item]) => item.querySelector(".name"));
  };
  const all = [];
  for (let n = 1; n <= times; n += 1) {
    const began = performance.now();
    rows.scrollTo(0, (rows.scrollHeight - rows.clientHeight) * (n / times));
    do await new Promise(requestAnimationFrame); while (!inSight());
    all.push(performance.now() - began);
  }
  return all;
}, TIMES);
said.library.scrolled = Math.round(median(scrolled));

// In the transfers: everything changes at once.
await page.goto(`${origin}/?changes#/transfers`);
await page.locator(".transfer").nth(5).waitFor();
const busy = await page.evaluate(async () => {
  const tasks = [];
  new PerformanceObserver((list) => tasks.push(...list.getEntries().map((entry) => entry.duration))).observe({ type: "longtask", buffered: false });
  const { transfers } = await (await fetch("/api/v1/transfers?limit=1000")).json();
  const ids = transfers.map(({ id }) => id);
  const label = async () => {
    for (let id = ids.pop(); id !== undefined; id = ids.pop()) {
      await fetch(`/api/v1/transfers/${id}`, { method: "PATCH", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ labels: ["seen"] }) });
    }
  };
  await Promise.all(Array.from({ length: 4 }, label));
  // The last of it is told within half a second.
  await new Promise((resolve) => setTimeout(resolve, 1500));
  return Math.max(0, ...tasks);
});
said.transfers.busiest = Math.round(busy);
console.log(JSON.stringify({ ...said, complaints }));
await end();
