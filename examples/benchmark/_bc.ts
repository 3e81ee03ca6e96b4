import { databases, on } from './databases.js'
import { DAY, MANY } from './fill.js'
import { Fleet, rotateBy } from './rotating.js'
const name = process.argv[2] as 'SQLite', warm = Number(process.argv[3] ?? 0), rounds = 4, ms = 1000
const living = (count: number) => ({ count, endsFrom: Date.now() + 7 * DAY })
await on(databases[name] as any, async (few: any) => on(databases[name] as any, async (many: any) => {
  let t = Date.now()
  await few.fill(living(10000)); await many.fill(living(MANY)); console.log('filled', Date.now() - t)
  if (process.env.CACHE) { few.db.exec(`PRAGMA cache_size = -${process.env.CACHE}`); many.db.exec(`PRAGMA cache_size = -${process.env.CACHE}`) }
  if (process.env.MMAP) { few.db.exec(`PRAGMA mmap_size = ${process.env.MMAP}`); many.db.exec(`PRAGMA mmap_size = ${process.env.MMAP}`) }
  const f = { few: new Fleet(10000), many: new Fleet(MANY) }
  const run = async (k: 'few' | 'many', ms: number) => (await f[k].run(rotateBy((k === 'few' ? few : many).store), { atOnce: 64, ms })).perSecond
  t = Date.now()
  if (warm) { const r = await run('many', warm); console.log('warmed', r) ; await run('few', 1000) }
  const ratios: number[] = []
  for (let i = 0; i < rounds; i++) {
    const [a, b] = i % 2 ? [await run('many', ms), await run('few', ms)] : (() => [0, 0])()
    let m = a, w = b
    if (!(i % 2)) { w = await run('few', ms); m = await run('many', ms) }
    ratios.push(m / w); console.log(Math.round(m), Math.round(w), (m / w).toFixed(2))
  }
  ratios.sort(); console.log(name, 'median', ratios[rounds >> 1])
}))
process.exit()
