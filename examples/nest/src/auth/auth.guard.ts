import { Injectable } from '@nestjs/common'
import type { CanActivate, ExecutionContext } from '@nestjs/common'
import { authenticate } from 'fastify-token-auth'
import type { Authenticate } from 'fastify-token-auth'

/** Runs a hook of fastify-token-auth as a guard. */
export class HookGuard implements CanActivate {
  constructor (private readonly hook: Authenticate) {}

  async canActivate (context: ExecutionContext): Promise<boolean> {
    const http = context.switchToHttp()
    await this.hook(http.getRequest(), http.getResponse())
    return true
  }
}

/** Requires a valid access token for every route without `@Public()`. */
@Injectable()
export class AuthGuard extends HookGuard {
  constructor () {
    super(authenticate)
  }
}
