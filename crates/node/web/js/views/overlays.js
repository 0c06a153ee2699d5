// Hash tables that a node may be in, each with a picture of its own and the same as a table.

import { html } from "../../vendor/htm-preact.js";
import { drawOverlay, overlayHeight } from "../draw/overlays.js";
import { t } from "../strings.js";
import { Empty } from "../ui.js";
import { Shown } from "./networks.js";

const n = t.overlays;

/** What colours mean, by the hash table. */
const LEGENDS = {
  pastry: [["text", t.networks.us], ["warn", n.what.before], ["good-fill", n.what.after], ["accent-fill", n.what.row]],
  tapestry: [["text", t.networks.us], ["accent-fill", n.what.row], ["violet", n.what.backup]],
  can: [["accent-fill", n.ours], ["accent-soft", n.what.neighbour]],
  kelips: [["text", t.networks.us], ["good-fill", n.what.member], ["accent-fill", n.what.contact]],
  viceroy: [["text", t.networks.us], ["good-fill", n.ring], ["warn", n.what.up], ["accent-fill", n.down], ["violet", n.level]],
};

/** How many there are of each kind, in words. */
function counted(links) {
  const counts = new Map();
  for (const { what } of links) counts.set(what, (counts.get(what) ?? 0) + 1);
  return [...counts].map(([what, count]) => `${n.what[what] ?? what}: ${count}`).join("; ");
}

export function Overlay({ picture }) {
  const { system, links } = picture;
  const title = n.titles[system] ?? t.networks.known;
  if (links.length === 0) return html`<${Empty} icon="networks" title=${n.empty} hint=${t.networks.chordEmptyHint} />`;
  return html`<${Shown} title=${title} label=${`${title}: ${counted(links)}`} legend=${LEGENDS[system] ?? null} height=${overlayHeight(picture)}
    draw=${(context, w, h, colours) => drawOverlay(context, w, h, colours, picture)} head=${[t.networks.link, n.ranks[system] ?? "–", ...t.networks.columns.slice(1, 3)]}
    rows=${links.map((link) => [n.what[link.what] ?? link.what, link.rank, link.id.slice(0, 12), link.address])} />`;
}
