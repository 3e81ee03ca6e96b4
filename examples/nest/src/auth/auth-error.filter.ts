import { Catch } from '@nestjs/common'
import type { ArgumentsHost, ExceptionFilter } from '@nestjs/common'
import type { FastifyReply } from 'fastify'
import { TokenAuthError } from 'fastify-token-auth'

/**
 * Sends errors of fastify-token-auth with their code.
 *
 * Nest itself sends the right status, but neither the code nor the headers of the plugin. Fastify
 * calls the hooks of the plugin, which add `X-Auth-Error` and `WWW-Authenticate`.
 */
@Catch(TokenAuthError)
export class AuthErrorFilter implements ExceptionFilter<TokenAuthError> {
  catch (error: TokenAuthError, host: ArgumentsHost): void {
    host.switchToHttp().getResponse<FastifyReply>().send(error)
  }
}
