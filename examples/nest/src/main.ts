import { NestFactory } from '@nestjs/core'
import { FastifyAdapter } from '@nestjs/platform-fastify'
import type { NestFastifyApplication } from '@nestjs/platform-fastify'
import { AppModule } from './app.module.js'

// The plugin logs with the logger of Fastify, which Nest turns off by default.
const adapter = new FastifyAdapter({ logger: { level: 'warn' } })
const app = await NestFactory.create<NestFastifyApplication>(AppModule, adapter)
app.enableShutdownHooks()
await app.listen(process.env.PORT ?? 3000, '127.0.0.1')
console.log(`server listens at ${await app.getUrl()}`)
