import type { Test } from 'tap'
import { readDpopProof } from '../../src/dpop/proof.js'
import type { AppKey } from '../../src/tokens/keys.js'
import { createProof, createProofKey } from '../helpers/dpop.js'

export const claims = {
  jti: 'j1',
  htm: 'POST',
  htu: 'https://api.test/auth/login',
  iat: 1_767_225_600
}

export const [key, ed] = [createProofKey('ES256'), createProofKey('Ed25519')]

/** Cached keys of valid proofs. */
export const known = new Map<string, AppKey>()

for (const own of [key, ed]) {
  readDpopProof(createProof(own, claims), known)
}

/** Asserts that a proof is rejected with and without a cache of valid keys. */
export function assertRejected (t: Test, proof: string, name: string): void {
  t.equal(readDpopProof(proof), null, name)
  t.equal(readDpopProof(proof, known), null, `${name}, with cached keys`)
}

/** Returns JSON in which one member has the given JSON value, or is missing if it is undefined. */
export function withMember (object: object, name: string, json: string | undefined): string {
  const members = Object.entries(object).filter(([key]) => key !== name).map(([key, value]) =>
    `"${key}":${JSON.stringify(value)}`
  )
  return `{${[...members, ...(json === undefined ? [] : [`"${name}":${json}`])].join()}}`
}
