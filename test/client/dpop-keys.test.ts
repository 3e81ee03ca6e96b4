import { mock } from 'node:test'
import t from 'tap'
import type { Test } from 'tap'
import { loadKeyPair } from '../../src/client/dpop-keys.js'
import { createDpopFetch } from '../../src/client/dpop.js'
import type { KeyPair } from '../../src/client/dpop.js'

/** Steps at which {@link createDatabase} fails. */
interface Failures {
  /** Event of the opening request; `silence` for none. */
  readonly opening?: 'error' | 'blocked' | 'silence'
  readonly hasStore?: false
  readonly put?: DOMException
  /** The requests of the transaction succeed, and the transaction aborts. */
  readonly commit?: DOMException
}

interface FakeRequest {
  result?: unknown
  error?: unknown
  onsuccess?: () => void
  onerror?: () => void
  onblocked?: () => void
  onupgradeneeded?: () => void
}

/** An IndexedDB with one object store, which all tabs share. */
function createDatabase (failures: Failures = {}) {
  const saved = new Map<string, unknown>()
  const requests: FakeRequest[] = []
  let openConnections = 0

  const database = {
    createObjectStore: () => {},
    close () {
      openConnections--
    },
    transaction (_name: string) {
      if (failures.hasStore === false) {
        throw new DOMException('No such store', 'NotFoundError')
      }

      const transaction: Record<string, unknown> & { oncomplete?(): void, onabort?(): void } = {}
      const put: Array<[string, unknown]> = []
      const store = {
        get (key: string) {
          const request: FakeRequest = {}
          setImmediate(() => {
            request.result = saved.get(key)
            request.onsuccess?.()
            transaction.error = failures.commit ?? null

            if (failures.commit) {
              return transaction.onabort?.()
            }

            for (const [key, value] of put) {
              saved.set(key, value)
            }

            transaction.oncomplete?.()
          })
          return request
        },
        put (value: unknown, key: string) {
          if (failures.put) {
            throw failures.put
          }

          put.push([key, value])
        }
      }
      return Object.assign(transaction, { objectStore: () => store })
    }
  }

  return {
    saved,
    get openConnections () {
      return openConnections
    },
    /** Answers the requests that got no answer so far. */
    answerLate () {
      for (const request of requests) {
        openConnections++
        request.result = database
        request.onsuccess?.()
      }
    },
    open () {
      const request: FakeRequest = {}
      requests.push(request)
      setImmediate(() => {
        if (failures.opening === 'error') {
          request.error = new DOMException('Internal error', 'UnknownError')
          request.onerror?.()
        } else if (failures.opening === 'blocked') {
          request.onblocked?.()
        } else if (failures.opening === undefined) {
          openConnections++
          request.result = database
          request.onupgradeneeded?.()
          request.onsuccess?.()
        }
      })
      return request
    }
  }
}

/** Sets a global variable for one test. */
function setGlobal (t: Test, name: string, descriptor: PropertyDescriptor): void {
  const before = Object.getOwnPropertyDescriptor(globalThis, name)
  Object.defineProperty(globalThis, name, { ...descriptor, configurable: true })
  t.teardown(() =>
    before
      ? Object.defineProperty(globalThis, name, before)
      : Reflect.deleteProperty(globalThis, name)
  )
}

function captureWarnings (t: Test): unknown[][] {
  const warnings: unknown[][] = []
  t.intercept(console, 'warn', {
    value: (...warning: unknown[]) => {
      warnings.push(warning)
    }
  })
  return warnings
}

const quota = new DOMException('No space left', 'QuotaExceededError')
const clone = new DOMException('Cannot clone', 'DataCloneError')
const situations: Record<string, [PropertyDescriptor, RegExp]> = {
  'is null': [{ value: null }, /null/],
  'throws on access': [
    {
      get () {
        throw new DOMException('Insecure', 'SecurityError')
      }
    },
    /Insecure/
  ],
  'throws on opening': [
    {
      value: {
        open () {
          throw new DOMException('Denied', 'SecurityError')
        }
      }
    },
    /Denied/
  ],
  'fails to open': [{ value: createDatabase({ opening: 'error' }) }, /Internal error/],
  'has no object store': [{ value: createDatabase({ hasStore: false }) }, /No such store/],
  'cannot save keys': [{ value: createDatabase({ put: clone }) }, /Cannot clone/],
  'has no space left': [{ value: createDatabase({ commit: quota }) }, /No space left/]
}

for (const [name, [descriptor, reason]] of Object.entries(situations)) {
  t.test(`a key is created and a warning is written if IndexedDB ${name}`, async t => {
    setGlobal(t, 'indexedDB', descriptor)
    const warnings = captureWarnings(t)
    const { privateKey } = await loadKeyPair()
    t.match(privateKey, { type: 'private', extractable: false })
    t.match(warnings, [[/lost on reload, and the user must then log in again/, {
      message: reason
    }]])
    t.equal(warnings.length, 1)
  })
}

for (const opening of ['silence', 'blocked'] as const) {
  t.test(`a key is created after 2 s of ${opening}, and a late response is ignored`, async t => {
    const database = createDatabase({ opening })
    setGlobal(t, 'indexedDB', { value: database })
    const warnings = captureWarnings(t)
    mock.timers.enable({ apis: ['setTimeout'] })
    t.teardown(() => mock.timers.reset())
    const results: KeyPair[] = []
    const loading = loadKeyPair().then(pair => results.push(pair))

    // A thread creates the key, so the timer starts some turns of the event loop later.
    while (results.length === 0) {
      mock.timers.tick(100)
      await new Promise(setImmediate)
    }

    await loading
    t.match(warnings, [[/log in again/, { message: 'IndexedDB did not respond within 2000 ms' }]])
    database.answerLate()
    await new Promise(resolve => setImmediate(() => setImmediate(resolve)))
    t.equal(database.saved.get('dpop'), results[0], 'the late write saves the key in use')
    t.equal(database.openConnections, 0)
  })
}

t.test('tabs that start concurrently share the saved key', async t => {
  const database = createDatabase()
  setGlobal(t, 'indexedDB', { value: database })
  const warnings = captureWarnings(t)
  const pairs = await Promise.all([loadKeyPair(), loadKeyPair(), loadKeyPair()])
  t.equal(new Set(pairs).size, 1)
  t.equal(await loadKeyPair(), pairs[0])
  t.strictSame(warnings, [])
  t.equal(database.openConnections, 0)
})

t.test('no warning is written in an environment without IndexedDB, such as Node', async t => {
  const warnings = captureWarnings(t)
  t.match(await loadKeyPair(), { privateKey: { type: 'private' } })
  t.strictSame(warnings, [])
})

t.test('a page without IndexedDB gets a warning', async t => {
  setGlobal(t, 'location', { value: { origin: 'https://example.org' } })
  const warnings = captureWarnings(t)
  t.match(await loadKeyPair(), { privateKey: { type: 'private' } })
  t.equal(warnings.length, 1)
})

for (const method of ['get', 'add'] as const) {
  t.test(`a failure of keys.${method} rejects with its cause, without another key`, async t => {
    const cause = new Error('keychain is locked')
    const keys = { get: async () => null, add: async (pair: KeyPair) => pair }
    const failing = {
      ...keys,
      [method] () {
        throw cause
      }
    }
    const warnings = captureWarnings(t)
    await t.rejects(loadKeyPair(failing), {
      message: 'failed to load the DPoP key pair from "keys"',
      cause
    })
    t.strictSame(warnings, [])
  })
}

t.test('a page without WebCrypto gets a TypeError from createDpopFetch', async t => {
  const message =
    'createDpopFetch requires "crypto.subtle"; serve the page over HTTPS or from localhost'

  for (const value of [{ getRandomValues: () => {} }, undefined]) {
    await t.test(async t => {
      setGlobal(t, 'crypto', { value })
      t.throws(() => createDpopFetch({ baseUrl: 'http://example.org' }), new TypeError(message))
    })
  }
})
