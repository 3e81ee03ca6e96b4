import { Injectable } from '@nestjs/common'
import type { OnModuleInit } from '@nestjs/common'
import { HttpAdapterHost } from '@nestjs/core'
import type { FastifyAdapter } from '@nestjs/platform-fastify'
import type { FastifyInstance } from 'fastify'
import { defineUsers, tokenAuth } from 'fastify-token-auth'
import type { TokenAuth } from 'fastify-token-auth'
import { MemoryStore } from 'fastify-token-auth/memory'
import { UsersService } from '../users/users.service.js'
import type { User } from '../users/users.service.js'

declare module 'fastify-token-auth' {
  interface AuthClaims {
    role: User['role']
  }
}

/** Registers the plugin, and offers its sessions and passwords to other providers. */
@Injectable()
export class AuthService implements OnModuleInit {
  constructor (
    private readonly adapterHost: HttpAdapterHost<FastifyAdapter>,
    private readonly users: UsersService
  ) {}

  async onModuleInit (): Promise<void> {
    await this.#fastify.register(tokenAuth, {
      secret: process.env.AUTH_SECRET,
      store: new MemoryStore(),
      users: defineUsers({
        findByLogin: login => this.users.findByLogin(login),
        findById: id => this.users.findById(id),
        claims: ({ role }) => ({ role })
      })
    })
  }

  /** Sessions and passwords. Available after `onModuleInit` of this service. */
  get tokenAuth (): TokenAuth {
    return this.#fastify.tokenAuth
  }

  get #fastify (): FastifyInstance {
    return this.adapterHost.httpAdapter.getInstance()
  }
}
