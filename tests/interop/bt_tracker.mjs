// The tracker of the npm package `bittorrent-tracker`. Its own command does not pass on where to
// listen over UDP.
//
//     bt_tracker.mjs MODULES HOST PORT

import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

const [modules, host, port] = process.argv.slice(2)
const path = resolve(modules, 'node_modules/bittorrent-tracker/index.js')
const { Server } = await import(pathToFileURL(path))

const server = new Server({ http: true, udp: true, ws: false, stats: false })
for (const event of ['start', 'complete', 'stop', 'warning', 'error']) {
  server.on(event, about => console.log(event, String(about)))
}
server.listen(Number(port), { http: host, udp: host, udp6: '::1' })
