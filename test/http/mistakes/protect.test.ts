import t from 'tap'
import type { Test } from 'tap'
import { tokenAuth } from '../../../src/index.js'
import { createLoggedApp, validOptions } from './logged-app.js'
import type { LoggedApp } from './logged-app.js'

const options = { ...validOptions, protect: 'all' } as const
const warning = /^"protect" covers no route of the app: .+; .+ wrap that file with fastify-plugin$/

async function readWarnings (
  t: Test,
  declare: (app: LoggedApp['app']) => unknown
): Promise<string[]> {
  const { app, log } = createLoggedApp()
  t.teardown(() => app.close())
  await declare(app)
  await app.ready()
  return log.map(({ msg }) => msg)
}

t.test('protect in a plugin file without fastify-plugin is a warning', async t => {
  const warnings = await readWarnings(t, async app => {
    await app.register(async scope => {
      await scope.register(tokenAuth, options)
    })
    app.get('/orders', () => 'open')
  })
  t.match(warnings, [warning])
})

t.test('protect of a scope with a route is no mistake', async t => {
  t.strictSame(
    await readWarnings(t, async app => {
      await app.register(async scope => {
        await scope.register(tokenAuth, options)
        scope.get('/orders', () => 'protected')
      })
      app.get('/health', () => 'open')
    }),
    []
  )
})

t.test('protect of an app without routes is no mistake', async t => {
  t.strictSame(await readWarnings(t, async app => app.register(tokenAuth, options)), [])
})

t.test('a path that the tree of routes cannot show does not fail the start', async t => {
  t.strictSame(
    await readWarnings(t, async app => {
      await app.register(tokenAuth, options)
      app.get('/a└── b', () => 'protected')
    }),
    []
  )
})
