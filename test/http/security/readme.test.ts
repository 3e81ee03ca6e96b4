import { existsSync, readFileSync } from 'node:fs'
import t from 'tap'

const root = new URL('../../../', import.meta.url)
const rows = [
  ...readFileSync(new URL('README.md', import.meta.url), 'utf8').matchAll(/^\| (\d+) \| (.+) \|$/gm)
]

function sourceOf (file: string): string {
  const path = new URL(file.startsWith('src/') ? `${file}.ts` : `test/${file}.test.ts`, root)
  return existsSync(path) ? readFileSync(path, 'utf8').replaceAll('\\', '') : ''
}

t.test('the table has each requirement from 1 to 87 once and in order', async t => {
  t.strictSame(
    rows.map(([, number]) => Number(number)),
    Array.from({ length: 87 }, (_, i) => i + 1)
  )
})

t.test('every test in the table exists, and every test here is in the table', async t => {
  const named = new Set<string>()

  for (const [, number, text = ''] of rows) {
    const places = [...text.matchAll(/`([\w./-]+)`((?:,? “[^”]+”)+)/g)]
    t.ok(places.length > 0 || text.startsWith('No'), `${number}: is tested, or it is said why not`)

    for (const [, file = '', names = ''] of places) {
      const titles = sourceOf(file).match(/(?:test|law)\((['`]).*?\1, /g) ?? []

      for (const [, name = ''] of names.matchAll(/“([^”]+)”/g)) {
        const parts = name.split('…').map(part => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
        const title = titles.find(title => new RegExp(`['\`]${parts.join('.*')}`).test(title))
        t.ok(title, `${number}: ${file} ${name}`)
        named.add(`${file} ${title}`)
      }
    }
  }

  for (
    const file of ['http/security/requests', 'http/security/answers', 'http/security/first-party']
  ) {
    const titles = sourceOf(file).match(/test\((['`]).*?\1, /g) ?? []
    t.ok(titles.length > 10)

    for (const title of titles) {
      t.ok(named.has(`${file} ${title}`), `${file} ${title}`)
    }
  }
})
