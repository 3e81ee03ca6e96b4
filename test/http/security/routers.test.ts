import t from 'tap'
import type { TestAppOptions } from '../../helpers/app.js'
import { listen } from './raw-server.js'

const targets = (path: string, host: string): string[] => {
  const at = path.slice(0, path.lastIndexOf('/') + 1)
  const name = path.slice(at.length)
  const escaped = `%${name.charCodeAt(0).toString(16)}${name.slice(1)}`

  return [
    path,
    `${path}?`,
    `${path}?x=/public`,
    `${path}#/public`,
    `/${path}`,
    `//${host}${path}`,
    `${path}/`,
    `${path}//`,
    `${path};x`,
    `${path};/public`,
    `${path}.`,
    `${path}/.`,
    `${at}./${name}`,
    `/public/..${path}`,
    `/public/%2e%2e${path}`,
    `/public/..;${path}`,
    `/public%2f..${path}`,
    `${at}${escaped}`,
    `${at}${escaped.toUpperCase()}`,
    `${at}%25${escaped.slice(1)}`,
    `${path}%2F`,
    `${path}%2f`,
    `${path}%3F`,
    `${path}%3B`,
    `${path}%23`,
    `${path}%00`,
    `${path}%20`,
    `${path}%0a`,
    `${path}%`,
    `${path}%zz`,
    `${path}%c0%af`,
    path.toUpperCase(),
    `${at}${name[0]?.toUpperCase()}${name.slice(1)}`,
    path.replaceAll('/', '\\'),
    `\\${path.slice(1)}`,
    path.slice(1),
    '*',
    '/public',
    `http://${host}${path}`,
    `HTTP://${host}${path}/`,
    `https://u:p@${host}${path}?x`,
    `http://${host}/${path}`,
    `http:${path}`,
    `${path}\u00a0`,
    `${path}\u0131`
  ]
}

const routers: Record<string, TestAppOptions['fastify']> = {
  strict: {},
  lenient: {
    useSemicolonDelimiter: true,
    routerOptions: { caseSensitive: false, ignoreTrailingSlash: true, ignoreDuplicateSlashes: true }
  },
  'that rewrites': { rewriteUrl: ({ url = '' }) => url.replace(/^\/+(?:public\/\.\.)?/, '/') }
}

for (const [name, fastify] of Object.entries(routers)) {
  for (const guard of ['of each route', 'of the whole app'] as const) {
    t.test(`a router ${name} with a hook ${guard} opens no URL without a token [18]`, async t => {
      const server = await listen(t, {
        ...(fastify && { fastify }),
        after (app) {
          const onRequest = guard === 'of each route' ? [app.authenticate] : []

          if (guard === 'of the whole app') {
            app.addHook('onRequest', app.authenticate)
          }

          app.get('/public', { config: { tokenAuth: 'public' } }, () => 'open to all')
          app.all('/secret', { onRequest }, () => 'treasure')
          app.get('/files/*', { onRequest }, () => 'treasure')
        }
      })
      const { access_token: token } = await server.login()
      const authorization = `Authorization: Bearer ${token}`
      const { entered } = server
      const leaks: string[] = []
      const reached = new Set<string>()

      for (const path of ['/secret', '/files/secret', '/auth/me']) {
        for (const target of targets(path, `127.0.0.1:${server.port}`)) {
          for (
            const method of ['GET', 'HEAD', ...(path === '/secret' ? ['POST', 'OPTIONS'] : [])]
          ) {
            entered.length = 0
            const without = await server.raw(`${method} ${target}`)
            const stray = entered.filter(url =>
              !/^(?:http:\/\/[^/]*)?\/+public(?:$|[?;])/i.test(url)
            )
            entered.length = 0
            const { status } = await server.raw(`${method} ${target}`, authorization)

            if (entered.length > 0 && target !== '/public') {
              reached.add(target)
            }

            const isRight = stray.length === 0 && !/treasure|u-ann/.test(without.body) &&
              (status !== 200 || without.status === 401 || target === '/public')

            if (!isRight) {
              leaks.push(`${method} ${target}: ${without.status} without, ${status} with a token`)
            }
          }
        }
      }

      t.strictSame(leaks, [])
      t.ok(reached.size >= 40, `${reached.size} spellings reach a handler with a token`)
    })
  }
}

t.test('unknown routes and methods require a token too [18]', async t => {
  const server = await listen(t, {
    after: app => {
      app.addHook('onRequest', app.authenticate)
    }
  })

  for (
    const line of [
      'GET /nowhere',
      'POST /protected',
      'DELETE /auth/me',
      'GET /auth/login',
      'OPTIONS *',
      'PUT /auth/sessions'
    ]
  ) {
    const { status } = await server.raw(line)
    t.ok(status === 401 || status === 404, `${line} ${status}`)
  }
})
