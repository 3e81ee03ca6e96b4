import type { AddressInfo } from 'node:net'
import express from 'express'
import type { NextFunction, Request, Response } from 'express'
import jwt from 'jsonwebtoken'
import type { JwtPayload } from 'jsonwebtoken'
import {
  createProtectedWorkload,
  createSessionId,
  createUserId,
  LIFETIME,
  SECRET
} from '../http/servers/shared.js'
import type { ServerSettings, StartedServer } from '../http/servers/shared.js'

/** Starts Express with jsonwebtoken in a middleware, as tutorials show it. */
export async function startProtectedServer (
  { tokens: count }: ServerSettings
): Promise<StartedServer> {
  const app = express()
  app.disable('x-powered-by')

  function authenticate (request: Request, response: Response, next: NextFunction): void {
    try {
      const token = request.headers.authorization?.slice('Bearer '.length) ?? ''
      response.locals.user = jwt.verify(token, SECRET, { algorithms: ['HS256'] })
    } catch {
      response.status(401).json({ error: 'Unauthorized' })
      return
    }

    next()
  }

  app.get('/protected', authenticate, (_request, response) => {
    response.json({ user: (response.locals.user as JwtPayload).sub })
  })
  const server = await new Promise<ReturnType<typeof app.listen>>(resolve => {
    const listening = app.listen(0, '127.0.0.1', () => {
      resolve(listening)
    })
  })
  const tokens = Array.from(
    { length: count },
    (_, n) =>
      jwt.sign({ sub: createUserId(n), sid: createSessionId(n), type: 'access' }, SECRET, {
        algorithm: 'HS256',
        expiresIn: LIFETIME
      })
  )
  const { port } = server.address() as AddressInfo
  return { port, workload: createProtectedWorkload(tokens) }
}
