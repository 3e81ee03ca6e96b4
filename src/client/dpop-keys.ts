/**
 * Key pair of a browser in IndexedDB, the only storage for keys that scripts cannot extract.
 *
 * The interfaces declare only the members in use, because React Native and Node have no DOM types.
 *
 * @module
 */

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
   * Saves a pair, unless another one was saved meanwhile.
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

interface Database {
  createObjectStore(name: string): unknown
  transaction(
    name: string,
    mode: 'readonly' | 'readwrite'
  ): { objectStore(name: string): ObjectStore }
  close(): void
}

interface DatabaseFactory {
  open(name: string): DatabaseRequest<Database> & { onupgradeneeded: (() => void) | null }
}

const DATABASE = 'token-auth'
const STORE = 'keys'
const KEY = 'dpop'

/**
 * Loads the saved key pair, or creates one.
 *
 * All tabs get the same pair, even if several of them create one concurrently.
 */
export async function loadKeyPair (store: KeyPairStore = createDatabaseStore()): Promise<KeyPair> {
  return await store.get() ??
    store.add(
      await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign'])
    )
}

function createDatabaseStore (): KeyPairStore {
  const { indexedDB } = globalThis as { indexedDB?: DatabaseFactory }

  // Node has no IndexedDB. The pair then lives as long as its `createDpopFetch`.
  if (indexedDB === undefined) {
    return { get: async () => null, add: async pair => pair }
  }

  return {
    get: () => useObjectStore(indexedDB, 'readonly', store => waitForResult(store.get(KEY))),
    // Both requests share a transaction, so that two tabs cannot save different pairs. Awaiting
    // between them would commit the transaction.
    add: pair =>
      useObjectStore(indexedDB, 'readwrite', store =>
        new Promise((resolve, reject) => {
          const found = store.get(KEY)

          found.onerror = () => {
            reject(getError(found))
          }

          found.onsuccess = () => {
            if (found.result !== undefined) {
              return resolve(found.result)
            }

            waitForResult(store.put(pair, KEY)).then(() => {
              resolve(pair)
            }, reject)
          }
        }))
  }
}

async function useObjectStore<Result> (
  factory: DatabaseFactory,
  mode: 'readonly' | 'readwrite',
  use: (store: ObjectStore) => Promise<Result>
): Promise<Result> {
  const opening = factory.open(DATABASE)

  opening.onupgradeneeded = () => {
    opening.result.createObjectStore(STORE)
  }

  const database = await waitForResult(opening)

  try {
    return await use(database.transaction(STORE, mode).objectStore(STORE))
  } finally {
    database.close()
  }
}

function waitForResult<Result> (request: DatabaseRequest<Result>): Promise<Result> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => {
      resolve(request.result)
    }

    request.onerror = () => {
      reject(getError(request))
    }
  })
}

function getError ({ error }: DatabaseRequest<unknown>): Error {
  return error ?? new Error('failed to access the key pair in IndexedDB')
}
