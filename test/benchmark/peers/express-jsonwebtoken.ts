// Express with jsonwebtoken in a middleware, as the tutorials have it.

import type { AddressInfo } from 'node:net'
import express from 'express'
import type { NextFunction, Request, Response } from 'express'
import jwt from 'jsonwebtoken'
import type { JwtPayload } from 'jsonwebtoken'
import { LIFETIME, protectedWork, SECRET, sessionId, userId } from '../contestants/contestant.js'
import type { Setup, Started } from '../contestants/contestant.js'

export async function start ({ tokens: count }: Setup): Promise<Started> {
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
      jwt.sign({ sub: userId(n), sid: sessionId(n), type: 'access' }, SECRET, {
        algorithm: 'HS256',
        expiresIn: LIFETIME
      })
  )
  return { port: (server.address() as AddressInfo).port, work: protectedWork(tokens) }
}
