/**
 * Key pair of a browser in IndexedDB, the only storage for keys that scripts cannot extract.
 *
 * The interfaces declare only the members in use, because React Native and Node have no DOM types.
 *
 * @module
 */

import { getPageOrigin } from './platform.js'
import { isRecord } from './responses.js'

/** A `CryptoKeyPair` of the Web Cryptography API. */
export type KeyPair = Extract<
  Awaited<ReturnType<typeof crypto.subtle.generateKey>>,
  { readonly privateKey: unknown }
>

/** Storage of one key pair. */
export interface KeyPairStore {
  /** Returns the saved pair; `null` or `undefined` if no pair is saved. */
  get(): Promise<KeyPair | null | undefined>
  /**
   * Saves a pair, unless another one was saved since the call of `get`.
   *
   * @returns The saved pair.
   */
  add(pair: KeyPair): Promise<KeyPair>
}

interface DatabaseRequest<Result> {
  readonly result: Result
  readonly error: Error | null
  onsuccess: (() => void) | null
  onerror: (() => void) | null
}

interface ObjectStore {
  get(key: string): DatabaseRequest<KeyPair | undefined>
  put(value: KeyPair, key: string): DatabaseRequest<unknown>
}

interface Transaction {
  readonly error: Error | null
  oncomplete: (() => void) | null
  onabort: (() => void) | null
  objectStore(name: string): ObjectStore
}

interface Database {
  createObjectStore(name: string): unknown
  transaction(name: string, mode: 'readwrite'): Transaction
  close(): void
}

interface DatabaseFactory {
  open(name: string): DatabaseRequest<Database> & { onupgradeneeded: (() => void) | null }
}

const DATABASE = 'token-auth'
const STORE = 'keys'
const KEY = 'dpop'
/** Milliseconds. A blocked database of a browser may never respond. */
const DATABASE_TIMEOUT = 2000

/**
 * Loads the saved key pair, or creates one.
 *
 * All tabs get the same pair, even if several of them create one concurrently. If IndexedDB fails
 * or does not respond within 2 s, the new pair lives as long as the page.
 *
 * @param store - Replaces IndexedDB.
 * @throws Error if `store` fails; its `cause` is the failure. A new pair would sign the user out.
 */
export async function loadKeyPair (store?: KeyPairStore): Promise<KeyPair> {
  if (!store) {
    return loadFromDatabase(await createKeyPair())
  }

  try {
    return await store.get() ?? await store.add(await createKeyPair())
  } catch (cause) {
    throw new Error('failed to load the DPoP key pair from "keys"', { cause })
  }
}

async function createKeyPair (): Promise<KeyPair> {
  return crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign'])
}

function isDatabaseFactory (value: unknown): value is DatabaseFactory {
  return isRecord(value) && typeof value['open'] === 'function'
}

/** Returns the saved pair, or the new one. Never rejects. */
async function loadFromDatabase (pair: KeyPair): Promise<KeyPair> {
  let timer: ReturnType<typeof setTimeout> | undefined

  try {
    // The getter throws on some sandboxed pages.
    const database: unknown = Reflect.get(globalThis, 'indexedDB')

    // Node has no IndexedDB. The pair then lives as long as its `createDpopFetch`.
    if (database === undefined && getPageOrigin() === undefined) {
      return pair
    }

    if (!isDatabaseFactory(database)) {
      throw new TypeError(`"indexedDB" is ${String(database)}`)
    }

    // A pair that arrives after the timeout is ignored, because the server may have bound a session
    // to the new pair already.
    return await Promise.race([
      addToDatabase(database, pair),
      new Promise<never>((_resolve, reject) => {
        timer = setTimeout(() => {
          reject(new Error(`IndexedDB did not respond within ${DATABASE_TIMEOUT} ms`))
        }, DATABASE_TIMEOUT)
      })
    ])
  } catch (error) {
    console.warn(
      'fastify-token-auth: cannot use the DPoP key in IndexedDB; the key of this page is lost on ' +
        'reload, and the user must then log in again',
      error
    )
    return pair
  } finally {
    clearTimeout(timer)
  }
}

/**
 * Saves the pair, unless one is saved already.
 *
 * Both requests share a transaction, so that two tabs cannot save different pairs. Awaiting between
 * them would commit the transaction.
 *
 * @returns The saved pair.
 */
async function addToDatabase (factory: DatabaseFactory, pair: KeyPair): Promise<KeyPair> {
  const opening = factory.open(DATABASE)

  opening.onupgradeneeded = () => {
    opening.result.createObjectStore(STORE)
  }

  const database = await new Promise<Database>((resolve, reject) => {
    opening.onsuccess = () => {
      resolve(opening.result)
    }

    opening.onerror = () => {
      reject(opening.error)
    }
  })

  try {
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction(STORE, 'readwrite')
      const store = transaction.objectStore(STORE)
      const found = store.get(KEY)
      let saved = pair

      found.onsuccess = () => {
        if (found.result) {
          saved = found.result
          return
        }

        try {
          store.put(pair, KEY)
        } catch (error) {
          // Some browsers cannot save keys in private mode.
          reject(error)
        }
      }

      // A request that succeeded is lost if its transaction aborts, for example without disk space.
      transaction.oncomplete = () => {
        resolve(saved)
      }

      transaction.onabort = () => {
        reject(transaction.error)
      }
    })
  } finally {
    // An open connection would block the deletion of the database.
    database.close()
  }
}
