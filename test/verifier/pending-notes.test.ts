import t from 'tap'
import { PendingNotes } from '../../src/verifier/pending-notes.js'
import type { Note } from '../../src/verifier/pending-notes.js'

const createNote = (sid: string, gen = 0): Note => ({ sid, gen, seen: 'AAAAAAAAAAA' })

function add (notes: PendingNotes, ...added: Array<[sid: string, gen?: number]>): void {
  for (const [sid, gen] of added) {
    notes.add(createNote(sid, gen))
  }
}

const read = (batch: readonly Note[]): string[] => batch.map(({ sid, gen }) => `${sid}.${gen}`)

t.test('only the newest generation of a session is pending', async t => {
  const notes = new PendingNotes()
  add(notes, ['a', 1], ['b'], ['a', 3], ['a', 2])
  t.strictSame(read(notes.getBatch(1000)), ['a.3', 'b.0'], 'in the order of the first note')
})

t.test('a batch stays until it is acknowledged', async t => {
  const notes = new PendingNotes()
  add(notes, ['a'], ['b'])
  const batch = notes.getBatch(1000)
  t.strictSame(notes.getBatch(1000), batch)
  add(notes, ['a', 1], ['c'])
  notes.acknowledge(batch)
  t.strictSame(read(notes.getBatch(1000)), ['a.1', 'c.0'], 'a newer generation stays')
})

t.test('an acknowledged generation is not sent again', async t => {
  const notes = new PendingNotes()
  add(notes, ['a', 2])
  notes.acknowledge(notes.getBatch(1000))
  add(notes, ['a', 2], ['a', 1])
  t.equal(notes.size, 0)
  add(notes, ['a', 3])
  t.strictSame(read(notes.getBatch(1000)), ['a.3'])
  const older = [createNote('a', 1)]
  notes.acknowledge(older)
  notes.acknowledge([createNote('a', 3)])
  notes.acknowledge(older)
  add(notes, ['a', 2])
  t.equal(notes.size, 0, 'a late response does not forget a newer one')
})

t.test('a batch fits into the bytes of a request, and sessions take turns', async t => {
  const notes = new PendingNotes()
  const sids = Array.from({ length: 50 }, (_, i) => `s\u00e9${i}`)
  add(notes, ...sids.map((sid): [string] => [sid]))
  const seen: string[] = []

  for (let round = 1; seen.length < 50; round++) {
    const batch = notes.getBatch(500)
    t.ok(Buffer.byteLength(JSON.stringify(batch)) <= 500)
    t.ok(batch.length > 5)
    seen.push(...batch.map(({ sid }) => sid))
    notes.acknowledge(batch)
    // A busy session must not take the place of the others.
    add(notes, ['s\u00e90', round])
  }

  t.strictSame(seen.slice(0, 50), sids)
})

t.test('the number of pending notes is bounded', async t => {
  const notes = new PendingNotes()

  for (let i = 0; i < 250_010; i++) {
    notes.add(createNote(`s${i}`))
  }

  t.equal(notes.size, 250_000)
  t.strictSame(read(notes.getBatch(60)), ['s10.0'], 'the oldest are dropped')
})
