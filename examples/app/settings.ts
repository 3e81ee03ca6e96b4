import { optionsFromEnv } from 'fastify-token-auth'

/** Settings of the app. The README of this folder lists their variables. */
export type Settings = ReturnType<typeof readSettings>

/**
 * Reads the settings from environment variables, so that a mistake ends the process at its start.
 *
 * @throws TypeError if a variable is missing or invalid. The message contains no secret.
 */
export function readSettings (env: NodeJS.ProcessEnv = process.env) {
  return {
    auth: optionsFromEnv(env), // SECRET_KEY, ACCESS_TOKEN_EXPIRE_MINUTES and others
    databaseFile: env.DATABASE_FILE || 'app.db',
    host: env.HOST || '127.0.0.1',
    port: Number(env.PORT || 3000),
    origins: readList(env.ORIGINS),
    proxies: readList(env.PROXIES),
    logLevel: env.LOG_LEVEL || 'info'
  }
}

function readList (value = ''): string[] {
  return value.split(',').map(item => item.trim()).filter(item => item !== '')
}
