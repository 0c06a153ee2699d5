// A node of bittorrent-dht, told what to do by lines on standard input.
//
//     bt_dht.mjs MODULES ADDR:PORT [BOOTSTRAP...]
//
// MODULES is a folder with node_modules. Prints `ready`, and an answer to each line, behind `= `. The
// lines are those of mainline_node.

import crypto from 'node:crypto'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'

const [modules, listen, ...bootstrap] = process.argv.slice(2)
const { Client } = await import(pathToFileURL(modules + '/node_modules/bittorrent-dht/index.js'))
const [host, port] = listen.split(':')

// DER before an Ed25519 seed and before a public key (RFC 8410).
const SEED = Buffer.from('302e020100300506032b657004220420', 'hex')
const PUBLIC = Buffer.from('302a300506032b6570032100', 'hex')

const bytes = text => text === '-' ? Buffer.alloc(0) : Buffer.from(text, 'hex')
const der = (head, key, type) => ({ key: Buffer.concat([head, key]), format: 'der', type })
const verify = (signature, message, key) =>
  crypto.verify(null, message, crypto.createPublicKey(der(PUBLIC, key, 'spki')), signature)
const found = (resolve, reject, show) => (error, result) =>
  error ? reject(error) : resolve(result ? show(result) : '-')

const dht = new Client({ bootstrap: bootstrap.length ? bootstrap : false, host, verify })

const commands = {
  put: value => new Promise((resolve, reject) => {
    dht.put({ v: bytes(value) }, found(resolve, reject, target => target.toString('hex')))
  }),
  get: target => new Promise((resolve, reject) => {
    dht.get(bytes(target), { cache: false }, found(resolve, reject, item => item.v.toString('hex')))
  }),
  put_mutable: (seed, key, salt, seq, value) => new Promise((resolve, reject) => {
    const secret = crypto.createPrivateKey(der(SEED, bytes(seed), 'pkcs8'))
    const sign = message => crypto.sign(null, message, secret)
    const item = { k: bytes(key), seq: Number(seq), v: bytes(value), sign }
    if (salt !== '-') item.salt = bytes(salt)
    dht.put(item, found(resolve, reject, target => target.toString('hex')))
  }),
  get_mutable: (key, salt) => new Promise((resolve, reject) => {
    const target = crypto.createHash('sha1').update(bytes(key)).update(bytes(salt)).digest()
    const options = { cache: false, ...(salt === '-' ? {} : { salt: bytes(salt) }) }
    dht.get(target, options, found(resolve, reject, item => `${item.seq} ${item.v.toString('hex')}`))
  }),
  announce: (hash, port) => new Promise((resolve, reject) => {
    dht.announce(bytes(hash), Number(port), error => error ? reject(error) : resolve('-'))
  }),
  get_peers: hash => new Promise((resolve, reject) => {
    const peers = new Set()
    const hear = peer => peers.add(`${peer.host}:${peer.port}`)
    dht.on('peer', hear)
    dht.lookup(bytes(hash), error => {
      dht.off('peer', hear)
      if (error) reject(error)
      else resolve([...peers].join(' ') || '-')
    })
  })
}

dht.on('error', error => {
  console.log(String(error))
  process.exit(1)
})
dht.on('ready', async () => {
  console.log('ready')
  for await (const line of createInterface({ input: process.stdin })) {
    const [name, ...words] = line.split(' ')
    try {
      console.log('=', await commands[name](...words))
    } catch (error) {
      console.log('= error', String(error))
    }
  }
  process.exit(0)
})
dht.listen(Number(port), host)
