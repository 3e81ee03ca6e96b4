import { Module } from '@nestjs/common'
import { AuthModule } from './auth/auth.module.js'
import { UsersController } from './users/users.controller.js'
import { UsersModule } from './users/users.module.js'

@Module({ imports: [AuthModule, UsersModule], controllers: [UsersController] })
export class AppModule {}
