import { randomUUID } from 'node:crypto'
import {
  Body,
  ConflictException,
  Controller,
  Delete,
  Get,
  HttpCode,
  Param,
  Post
} from '@nestjs/common'
import { RouteSchema } from '@nestjs/platform-fastify'
import type { Auth } from 'fastify-token-auth'
import { AuthService } from '../auth/auth.service.js'
import { CurrentAuth, Fresh, Public, Roles } from '../auth/decorators.js'
import { UsersService } from './users.service.js'

interface Credentials {
  readonly username: string
  readonly password: string
}

const credentials = {
  type: 'object',
  required: ['username', 'password'],
  properties: {
    username: { type: 'string', minLength: 1, maxLength: 64 },
    password: { type: 'string' }
  }
}

@Controller('users')
export class UsersController {
  constructor (
    private readonly auth: AuthService,
    private readonly users: UsersService
  ) {}

  /** Signs a user up. The first user is the admin. */
  @Public()
  @Post()
  @RouteSchema({ body: credentials })
  async signUp (@Body() { username, password }: Credentials): Promise<{ id: string }> {
    const passwordHash = await this.auth.tokenAuth.hashPassword(password)

    if (this.users.findByLogin(username) !== null) {
      throw new ConflictException('username is taken')
    }

    const id = randomUUID()
    const role = this.users.list().length === 0 ? 'admin' : 'member'
    this.users.add({ id, username, role, passwordHash })
    return { id }
  }

  @Get('me')
  showOwn (@CurrentAuth() { userId, claims }: Auth): object {
    return { id: userId, role: claims.role }
  }

  @Roles('admin')
  @Get()
  list (): object[] {
    return this.users.list().map(({ id, username, role }) => ({ id, username, role }))
  }

  /** Signs a user out everywhere. */
  @Roles('admin')
  @Fresh('5m')
  @Delete(':id/sessions')
  @HttpCode(204)
  async signOut (@Param('id') id: string): Promise<void> {
    await this.auth.tokenAuth.revokeUser(id)
  }
}
