// Stands in for WebRTC, whose native part is not installed: peers meet over TCP here.
// For `node --import`.

import { register } from 'node:module'

const stub = 'data:text/javascript,' + encodeURIComponent(`
  export const RTCPeerConnection = undefined
  export const RTCSessionDescription = undefined
  export const RTCIceCandidate = undefined
  export default {}
`)
register('data:text/javascript,' + encodeURIComponent(`
  export async function resolve (specifier, context, next) {
    if (specifier === 'webrtc-polyfill') return { url: ${JSON.stringify(stub)}, shortCircuit: true }
    return next(specifier, context)
  }
`))
