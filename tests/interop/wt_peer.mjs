// A WebTorrent peer over TCP (no WebRTC), as a process of its own.
//
//     wt_peer.mjs MODULES SOURCE DIR PORT
//
// MODULES is a folder with node_modules; SOURCE a .torrent file or a magnet link. Prints lines of
// JSON: `ready` when the files are checked, `complete` when all are there.

import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const [modules, source, path, port] = process.argv.slice(2)
const require = createRequire(modules + '/')
const { default: WebTorrent } = await import(pathToFileURL(require.resolve('webtorrent')))

const say = (event, rest) => console.log(JSON.stringify({ event, ...rest }))

const client = new WebTorrent({
  torrentPort: Number(port),
  dht: false,
  lsd: false,
  utp: false,
  natUpnp: false,
  natPmp: false,
  tracker: { wrtc: false }
})
client.on('error', error => {
  say('error', { message: String(error) })
  process.exit(1)
})
const torrent = client.add(source, { path })
torrent.on('warning', warning => say('warning', { message: String(warning) }))
torrent.on('infoHash', () => say('known'))
torrent.on('ready', () => say('ready'))
torrent.on('done', () => say('complete'))
process.on('SIGINT', () => process.exit(0))
