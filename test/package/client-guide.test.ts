// client-examples.test.ts compiles the blocks with JSX of this guide.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createConsumer, root } from '../helpers/consumer.js'

const guide = readFileSync(join(root, 'examples/client/README.md'), 'utf8')

t.test('the TypeScript blocks of the guide compile', async t => {
  const consumer = createConsumer(['fastify', '@types/node'])
  t.teardown(() => {
    consumer.remove()
  })
  // Blocks for a server use the app of the text around them.
  const app = 'import type { FastifyInstance } from "fastify"\ndeclare const app: FastifyInstance\n'
  const blocks = [...guide.matchAll(/^```ts\n(.*?)^```$/gms)]
  t.ok(blocks.length >= 5)
  blocks.forEach(([, code = ''], i) => {
    consumer.write(`block-${i}.ts`, `${/\bapp\./.test(code) ? app : ''}${code}\nexport {}`)
  })
  consumer.write(
    'wrong.ts',
    'import { createAuthClient } from "fastify-token-auth/client"\n' +
      'createAuthClient({ url: "https://api.example.org" })'
  )
  const errors = (await consumer.compile()).split('\n').filter(line => line.includes('error TS'))
  t.match(errors, [/wrong\.ts.*'url' does not exist/])
  t.equal(errors.length, 1)
})
