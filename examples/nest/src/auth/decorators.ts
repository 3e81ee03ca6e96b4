import { createParamDecorator, UseGuards } from '@nestjs/common'
import type { ExecutionContext } from '@nestjs/common'
import { RouteConfig } from '@nestjs/platform-fastify'
import type { FastifyRequest } from 'fastify'
import { getAuth, requireClaims, requireFresh } from 'fastify-token-auth'
import type { Auth, Duration } from 'fastify-token-auth'
import type { User } from '../users/users.service.js'
import { HookGuard } from './auth.guard.js'

type ForRoute = MethodDecorator
type ForRouteOrController = MethodDecorator & ClassDecorator

/** Opens a route to requests without a token. */
export const Public = (): ForRoute => RouteConfig({ tokenAuth: 'public' })

/** Requires one of the roles. */
export const Roles = (...role: Array<User['role']>): ForRouteOrController =>
  UseGuards(new HookGuard(requireClaims({ role })))

/** Requires a recent login. */
export const Fresh = (maxAge: Duration): ForRouteOrController =>
  UseGuards(new HookGuard(requireFresh(maxAge)))

/** Parameter with the user and the session of the request. Not for public routes. */
export const CurrentAuth = createParamDecorator(
  (_data: unknown, context: ExecutionContext): Auth =>
    getAuth(context.switchToHttp().getRequest<FastifyRequest>())
)
