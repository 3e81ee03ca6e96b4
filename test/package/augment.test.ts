// These tests compile projects with the built declarations (`npm run build`).
//
// They set `skipLibCheck`, as most projects do. A broken declaration then silently becomes `any`.

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { createConsumer, root } from '../helpers/consumer.js'

const prelude = `
  import Fastify from 'fastify'
  import { tokenAuth } from 'fastify-token-auth'
  import type {
    Auth, AuthClaims, Authenticate, TokenAuth, TokenAuthOptions, Users
  } from 'fastify-token-auth'
  type Same<T> = <U>() => U extends T ? 1 : 2
  type Equal<A, B> = Same<A> extends Same<B> ? true : false
  type IsAny<T> = 0 extends 1 & T ? true : false
  declare function holds<Proof extends true> (proof?: Proof): void
  declare const options: TokenAuthOptions
`

const decorators = `
  const app = Fastify()
  holds<Equal<typeof app.authenticate, Authenticate>>()
  holds<Equal<typeof app.tokenAuth, TokenAuth>>()
  holds<Equal<IsAny<typeof app.authenticate>, false>>()
  holds<Equal<IsAny<typeof app.tokenAuth>, false>>()
  holds<Equal<IsAny<Parameters<TokenAuth['openSession']>[1]>, false>>()
  await app.register(tokenAuth, options)
  app.get('/', { onRequest: app.authenticate, config: { tokenAuth: 'public' } }, request => {
    holds<Equal<typeof request.auth, Auth | null>>()
    holds<Equal<IsAny<typeof request.auth>, false>>()
    holds<Equal<IsAny<NonNullable<typeof request.auth>['claims']>, false>>()
    return request.auth
  })
`

/** Compiles files as one project. Returns the errors of the compiler by file. */
async function compile (
  t: Test,
  files: Readonly<Record<string, string>>,
  before = prelude
): Promise<(file: string) => string[]> {
  const consumer = createConsumer(['fastify', '@fastify/jwt', '@types/node'])
  t.teardown(() => {
    consumer.remove()
  })
  const config = JSON.parse(readFileSync(join(consumer.folder, 'tsconfig.json'), 'utf8'))
  config.compilerOptions.skipLibCheck = true
  consumer.write('tsconfig.json', JSON.stringify(config))

  for (const [file, text] of Object.entries(files)) {
    consumer.write(file, before + text)
  }

  const errors = (await consumer.compile()).split('\n').filter(line => line.includes('error TS'))
  return file => errors.filter(line => line.includes(file))
}

t.before(() => {
  if (!existsSync(join(root, 'dist/index.d.ts'))) {
    throw new Error('dist is missing: run `npm run build`')
  }
})

t.test('in a project with a claim that has several values', async t => {
  const errorsIn = await compile(t, {
    'union.ts': `
      import { requireClaims } from 'fastify-token-auth'
      type Role = 'admin' | 'support' | 'member'
      declare module 'fastify-token-auth' {
        interface AuthClaims { role: Role, groups?: Role[] }
      }
      const staff: Role[] = ['admin', 'support']
      requireClaims({ role: staff, groups: staff })
      requireClaims({ role: ['admin', 'support'], groups: 'admin' })
      // @ts-expect-error: no such role
      requireClaims({ role: ['admin', 'owner'] })
      // @ts-expect-error: no such group
      requireClaims({ groups: 'owner' })
    `
  })
  t.strictSame(errorsIn('union.ts'), [])
})

t.test('in a project that augments AuthClaims through the package', async t => {
  const errorsIn = await compile(t, {
    'claims.ts': `
      ${decorators}
      declare module 'fastify-token-auth' {
        interface AuthClaims { role: string }
      }
      app.get('/role', { onRequest: app.authenticate }, request => {
        const claims = request.auth!.claims
        holds<Equal<typeof claims.role, string>>()
        // @ts-expect-error: claims are shared by requests, so they are read-only
        claims.role = 'admin'
        // @ts-expect-error: no such claim was declared
        return claims.rule
      })
      const directory: Users = {
        findByLogin: () => null,
        findById: () => null,
        claims: () => ({ role: 'admin' })
      }
      // @ts-expect-error: the claim that was declared must be given
      const careless: Users = { ...directory, claims: () => ({}) }
      holds<Equal<keyof AuthClaims, 'role'>>()
      const requireRole = app.requireClaims({ role: ['admin', 'owner'] })
      app.get('/admin', { onRequest: [app.authenticate, requireRole] }, () => '')
      // @ts-expect-error: the claim is a text
      app.requireClaims({ role: 1 })
      // @ts-expect-error: no such claim was declared
      app.requireClaims({ rule: 'admin' })
    `,
    'jwt.ts': `
      import '@fastify/jwt'
      ${decorators}
      declare module '@fastify/jwt' {
        interface FastifyJWT { user: { name: string } }
      }
      app.get('/user', request => {
        holds<Equal<typeof request.user, { name: string }>>()
        return app.jwt.sign(request.user)
      })
    `,
    'wrong.ts': 'const role: number = ({} as Auth).claims.role'
  })
  t.strictSame(errorsIn('claims.ts'), [], 'request.auth.claims is typed')
  t.strictSame(
    errorsIn('jwt.ts'),
    [],
    'the request.user of @fastify/jwt stays as the app has typed it'
  )
  t.match(errorsIn('wrong.ts'), [/'string' is not assignable to type 'number'/])
})

t.test('in a project that augments nothing', async t => {
  const errorsIn = await compile(t, {
    'plain.ts': `
      ${decorators}
      holds<Equal<keyof AuthClaims, never>>()
      // @ts-expect-error: no such claim was declared
      app.get('/role', request => request.auth?.claims.role)
      // @ts-expect-error: the declarations do not reach @fastify/jwt
      app.get('/user', request => request.user)
    `,
    'http2.ts': `
      const app = Fastify({ http2: true })
      await app.register(tokenAuth, options)
      app.addHook('onRequest', app.authenticate)
      app.get('/', { onRequest: app.authenticate }, request =>
        app.tokenAuth.openSession('1', request))
    `
  })
  t.strictSame(errorsIn('plain.ts'), [], 'without claims, no type is any')
  t.strictSame(errorsIn('http2.ts'), [], 'an app over HTTP/2 works too')
})

t.test('in a service that verifies alone', async t => {
  const errorsIn = await compile(
    t,
    {
      'verify.ts': `
      declare module 'fastify-token-auth/verifier' {
        interface AuthClaims { role: string }
      }
      const app = Fastify()
      holds<Equal<typeof app.authenticate, Authenticate>>()
      await app.register(tokenVerifier, options)
      const requireAdmin = app.requireClaims({ role: 'admin' })
      const onRequest = [app.authenticate, app.requireFresh('5m'), requireAdmin]
      app.get('/', { onRequest, config: { tokenAuth: 'public' } }, request => {
        holds<Equal<typeof request.auth, Auth | null>>()
        holds<Equal<NonNullable<typeof request.auth>['claims']['role'], string>>()
        return request.auth
      })
      // @ts-expect-error: secrets are nothing to verify by
      await app.register(tokenVerifier, { ...options, algorithms: ['HS256'] })
      // @ts-expect-error: no such option
      await app.register(tokenVerifier, { ...options, secret: '' })
    `
    },
    `
    import Fastify from 'fastify'
    import { tokenVerifier } from 'fastify-token-auth/verifier'
    import type { Auth, Authenticate, TokenVerifierOptions } from 'fastify-token-auth/verifier'
    type Same<T> = <U>() => U extends T ? 1 : 2
    type Equal<A, B> = Same<A> extends Same<B> ? true : false
    declare function holds<Proof extends true> (proof?: Proof): void
    declare const options: TokenVerifierOptions
  `
  )
  t.strictSame(errorsIn('verify.ts'), [])
})
