import { existsSync, readdirSync, readFileSync } from 'node:fs'
import t from 'tap'

const root = new URL('../../../', import.meta.url)
const rows = [
  ...readFileSync(new URL('README.md', import.meta.url), 'utf8').matchAll(/^\| (\d+) \| (.+) \|$/gm)
]

function getTitles (file: string): readonly string[] {
  const path = new URL(/^(src|test)\//.test(file) ? `${file}.ts` : `test/${file}.test.ts`, root)
  const source = existsSync(path) ? readFileSync(path, 'utf8').replaceAll('\\', '') : ''
  return source.match(/test\(\s*(['`]).*?\1,\s/g) ?? []
}

t.test('the table has each requirement from 1 to 87 once and in order', async t => {
  t.strictSame(
    rows.map(([, number]) => Number(number)),
    Array.from({ length: 87 }, (_, i) => i + 1)
  )
})

t.test('every test in the table exists, and every test here is in the table', async t => {
  const named = new Set<string>()
  let found = 0

  for (const [, number, text = ''] of rows) {
    const places = [...text.matchAll(/`([\w./-]+)`((?:,? “[^”]+”)+)/g)]
    t.ok(places.length > 0 || text.startsWith('No'), `${number}: has a test or a reason`)

    for (const [, file = '', names = ''] of places) {
      const titles = getTitles(file)

      for (const [, name = ''] of names.matchAll(/“([^”]+)”/g)) {
        const parts = name.split('…').map(part => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
        const title = titles.find(title => new RegExp(`['\`]${parts.join('.*')}`).test(title))
        t.ok(title, `${number}: ${file} ${name}`)
        named.add(`${file} ${title}`)
      }
    }
  }

  for (const file of readdirSync(new URL('.', import.meta.url))) {
    const path = `http/security/${file.replace('.test.ts', '')}`
    const numbered = getTitles(path).filter(title => /\[\d+(?:, \d+)*\]['`],\s$/.test(title))

    for (const title of numbered) {
      t.ok(named.has(`${path} ${title}`), `${path} ${title}`)
    }

    found += numbered.length
  }

  t.ok(found > 30)
})
