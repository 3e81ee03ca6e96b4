import t from 'tap'
import { assertRejected, resolve } from './resolve.js'

t.test('protect and decorators have defaults', async t => {
  const { protection, decorators } = resolve({})
  t.equal(protection, null)
  t.strictSame(decorators, {
    authenticate: 'authenticate',
    requireClaims: 'requireClaims',
    requireFresh: 'requireFresh',
    tokenAuth: 'tokenAuth'
  })
  t.strictSame(resolve({ protect: 'all' }).protection, { except: [] })
  const except = ['/', '/docs', '/docs/*', '/items/:id']
  t.strictSame(resolve({ protect: { except } }).protection, { except })
  t.equal(resolve({ decorators: { tokenAuth: false } }).decorators.tokenAuth, false)
})

t.test('invalid values of protect and decorators are rejected', async t => {
  const path = /"protect\.except\[0\]" must be a path such as "\/docs"/
  assertRejected(t, [
    ...['ALL', true, false, null, '', ['/docs']].map(protect =>
      [
        { protect },
        /"protect" must be "all", or an object|unknown option|must be an array/
      ] as const
    ),
    [{ protect: { only: ['/docs'] } }, 'unknown option "protect.only"; valid options: except'],
    [{ protect: {} }, '"protect.except" must be an array of paths'],
    [{ protect: { except: '/docs' } }, '"protect.except" must be an array of paths'],
    ...['docs', '', '/*', '*', '/docs*', '/docs/*/x', '/docs?x', '/docs/#', '//*', 1, null].map(
      entry => [{ protect: { except: [entry] } }, path] as const
    ),
    [{ decorators: 'x' }, '"decorators" must be an object'],
    [
      { decorators: { auth: 'x' } },
      'unknown option "decorators.auth"; valid options: authenticate'
    ],
    [{ decorators: { authenticate: true } }, '"decorators.authenticate" must be the name of'],
    [{ decorators: { authenticate: 'a b' } }, '"decorators.authenticate" must be the name of'],
    [{ decorators: { tokenAuth: 'x', requireFresh: 'x' } }, 'must not contain the name "x" twice']
  ])
})
