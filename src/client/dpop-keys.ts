// The key of a browser, which it can use and nobody can read: kept in IndexedDB, the one place that takes a key as it is. Typed
// by the part that is used, since there is no DOM on a phone or in Node.

/** A `CryptoKeyPair` of the Web Cryptography API. */
export type KeyPair = Extract<
  Awaited<ReturnType<typeof crypto.subtle.generateKey>>,
  { readonly privateKey: unknown }
>

/** Where a key pair is kept. */
export interface KeyPairStore {
  /** The pair that is kept; `null` or `undefined` where there is none. */
  get(): Promise<KeyPair | null | undefined>
  /** Keeps a pair, unless there is one by now. @returns The one that is kept. */
  add(pair: KeyPair): Promise<KeyPair>
}

interface Question<Result> {
  readonly result: Result
  readonly error: Error | null
  onsuccess: (() => void) | null
  onerror: (() => void) | null
}

interface ObjectStore {
  get(key: string): Question<KeyPair | undefined>
  put(value: KeyPair, key: string): Question<unknown>
}

interface Database {
  createObjectStore(name: string): unknown
  transaction(
    name: string,
    mode: 'readonly' | 'readwrite'
  ): { objectStore(name: string): ObjectStore }
  close(): void
}

interface Factory {
  open(name: string): Question<Database> & { onupgradeneeded: (() => void) | null }
}

const DATABASE = 'token-auth'
const STORE = 'keys'
const KEY = 'dpop'

/** The pair that is kept, or a new one: of several tabs that make one at once, all are given the same. */
export async function keptKeys (store: KeyPairStore = databaseStore()): Promise<KeyPair> {
  return await store.get() ??
    store.add(
      await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign'])
    )
}

function databaseStore (): KeyPairStore {
  const { indexedDB } = globalThis as { indexedDB?: Factory }

  // In Node, say: as long as the process.
  if (indexedDB === undefined) {
    return { get: async () => null, add: async pair => pair }
  }

  return {
    get: () => withStore(indexedDB, 'readonly', store => answerOf(store.get(KEY))),
    // Both within one transaction, which ends where it is left waiting for anything else.
    add: pair =>
      withStore(indexedDB, 'readwrite', store =>
        new Promise((resolve, reject) => {
          const found = store.get(KEY)

          found.onerror = () => {
            reject(found.error ?? new Error(KEY))
          }

          found.onsuccess = () => {
            if (found.result !== undefined) {
              return resolve(found.result)
            }

            answerOf(store.put(pair, KEY)).then(() => {
              resolve(pair)
            }, reject)
          }
        }))
  }
}

async function withStore<Result> (
  factory: Factory,
  mode: 'readonly' | 'readwrite',
  use: (store: ObjectStore) => Promise<Result>
): Promise<Result> {
  const opening = factory.open(DATABASE)

  opening.onupgradeneeded = () => {
    opening.result.createObjectStore(STORE)
  }

  const database = await answerOf(opening)

  try {
    return await use(database.transaction(STORE, mode).objectStore(STORE))
  } finally {
    database.close()
  }
}

function answerOf<Result> (question: Question<Result>): Promise<Result> {
  return new Promise((resolve, reject) => {
    question.onsuccess = () => {
      resolve(question.result)
    }

    question.onerror = () => {
      reject(question.error ?? new Error(KEY))
    }
  })
}
