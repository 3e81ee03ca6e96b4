// HMAC (RFC 2104) of a text, by two hashes. Node's own makes a stream for each, which lives until the next collection of garbage,
// and a refresh needs three, a login six.

import { hash } from 'node:crypto'

export type MacHash = 'sha256' | 'sha384' | 'sha512'

const INNER_PAD = 0x36
const OUTER_PAD = 0x5c
// What most texts fit in, in bytes, of which a unit of UTF-16 takes three at most.
const ROOM = 4096
const BYTES_A_UNIT = 3

/** Gives the code, in base64url, of a text in UTF-8. The key is what it is at this moment. */
export function createMac (algorithm: MacHash, key: Uint8Array): (text: string) => string {
  const size = algorithm === 'sha256' ? 64 : 128
  const short = key.length > size ? hash(algorithm, key, 'buffer') : key
  let inner = padded(short, INNER_PAD, size, ROOM)
  const outer = padded(short, OUTER_PAD, size, Number(algorithm.slice(3)) / 8)

  return text => {
    if (text.length * BYTES_A_UNIT > inner.length - size) {
      inner = padded(short, INNER_PAD, size, text.length * BYTES_A_UNIT)
    }

    const length = inner.write(text, size)
    // A text and no buffer, which would be memory of its own.
    outer.write(hash(algorithm, inner.subarray(0, size + length), 'binary'), size, 'latin1')
    return hash(algorithm, outer, 'base64url')
  }
}

/** The key as a block, and room for what is hashed after it. */
function padded (key: Uint8Array, pad: number, size: number, room: number): Buffer {
  const block = Buffer.alloc(size + room, pad)

  for (const [i, byte] of key.entries()) {
    block[i] = byte ^ pad
  }

  return block
}
