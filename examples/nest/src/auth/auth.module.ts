import { Module } from '@nestjs/common'
import { APP_FILTER, APP_GUARD } from '@nestjs/core'
import { UsersModule } from '../users/users.module.js'
import { AuthErrorFilter } from './auth-error.filter.js'
import { AuthGuard } from './auth.guard.js'
import { AuthService } from './auth.service.js'

@Module({
  imports: [UsersModule],
  providers: [
    AuthService,
    { provide: APP_GUARD, useClass: AuthGuard },
    { provide: APP_FILTER, useClass: AuthErrorFilter }
  ],
  exports: [AuthService]
})
export class AuthModule {}
