import { generateKeyPairSync, sign } from 'node:crypto'

/**
 * Creates a self-signed certificate without OpenSSL (RFC 5280, section 4.1).
 *
 * Chromium ignores its name, because the tests start it with `--ignore-certificate-errors`.
 */
export function createCertificate (): { key: string, cert: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const algorithm = encodeDer(0x30, encodeDer(0x06, Buffer.from('2a8648ce3d040302', 'hex')))
  const name = encodeDer(
    0x30,
    encodeDer(
      0x31,
      encodeDer(
        0x30,
        encodeDer(0x06, Buffer.from('550403', 'hex')),
        encodeDer(0x0c, Buffer.from('test'))
      )
    )
  )
  const validity = encodeDer(
    0x30,
    ...['250101000000Z', '491231235959Z'].map(time => encodeDer(0x17, Buffer.from(time)))
  )
  const spki = publicKey.export({ type: 'spki', format: 'der' })
  const content = encodeDer(
    0x30,
    encodeDer(0x02, Buffer.from([1])),
    algorithm,
    name,
    validity,
    name,
    spki
  )
  const signature = encodeDer(0x03, Buffer.from([0]), sign('sha256', content, privateKey))

  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    cert: `-----BEGIN CERTIFICATE-----\n${
      encodeDer(0x30, content, algorithm, signature).toString('base64')
    }\n-----END CERTIFICATE-----\n`
  }
}

/** Encodes a DER element. */
function encodeDer (tag: number, ...parts: Buffer[]): Buffer {
  const { length } = Buffer.concat(parts)
  const size = length < 128
    ? [length]
    : length < 256
    ? [0x81, length]
    : [0x82, length >> 8, length & 255]
  return Buffer.concat([Buffer.from([tag, ...size]), ...parts])
}
