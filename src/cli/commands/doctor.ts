import type { CommandHandler, OptionValues } from '../command.js'
import { examine } from '../doctor/examine.js'
import type { Finding } from '../doctor/findings.js'
import { Probe } from '../doctor/target.js'
import type { ProbedRoute, Report, Target } from '../doctor/target.js'
import { CliError, exitCodes, usageError } from '../errors.js'
import type { Io } from '../io.js'

const ROUTES: readonly string[] = ['login', 'refresh', 'logout', 'sessions'] satisfies ProbedRoute[]

/** Examines a running deployment from outside. */
export const examineDeployment: CommandHandler = async ({ values, operands, io }) => {
  const target = createTarget(operands[0] as string, values, io)
  const report = await examine(new Probe(target, io.sendRequest), io.now).catch(
    (error: unknown) => {
      throw toUnreachable(error)
    }
  )

  return {
    exitCode: report.findings.length === 0 ? exitCodes.done : exitCodes.failed,
    document: { url: target.base, ...report },
    text: formatReport(target.base, report)
  }
}

function createTarget (url: string, values: OptionValues, io: Io): Target {
  const { origin: origins = [], jwks, name = 'auth', route = [], login = false } = values
  const parsed = parseUrl(url, 'URL')

  if (!/^[\w-]+$/.test(name)) {
    throw usageError('"--name" must consist of letters, digits, "-" and "_"')
  }

  for (const origin of origins) {
    if (!URL.canParse(origin) || !/^[a-z][a-z\d+.-]*:\/\/[^/?#@]+$/i.test(origin)) {
      throw usageError('"--origin" must be an origin, such as https://app.example.org')
    }
  }

  return {
    base: parsed.href.replace(/\/+$/, ''),
    ownOrigin: parsed.origin,
    origins,
    jwks: jwks === undefined ? null : parseUrl(jwks, '"--jwks"').href,
    name,
    paths: Object.fromEntries(route.map(parseRoute)),
    credentials: login ? readCredentials(io) : null
  }
}

function parseUrl (value: string, option: string): URL {
  const url = URL.canParse(value) ? new URL(value) : null

  if (
    url === null || !/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== ''
  ) {
    throw usageError(`${option} must be an http or https URL without user and password`)
  }

  url.search = ''
  url.hash = ''
  return url
}

function parseRoute (value: string): readonly [string, string] {
  const [, name = '', path = ''] = /^(\w+)=(\/.*)$/.exec(value) ?? []

  if (!ROUTES.includes(name)) {
    throw usageError(`"--route" must be NAME=/PATH; valid names: ${ROUTES.join(', ')}`)
  }

  return [name, path]
}

function readCredentials ({ env }: Io): NonNullable<Target['credentials']> {
  const { FTA_USERNAME: username, FTA_PASSWORD: password } = env

  if (!username || !password) {
    throw usageError('"--login" requires the environment variables FTA_USERNAME and FTA_PASSWORD')
  }

  return { username, password }
}

function toUnreachable (error: unknown): CliError {
  const { code, name } = (error ?? {}) as { readonly code?: unknown, readonly name?: string }
  const reason = name === 'AbortError' || name === 'TimeoutError' ? 'no response in 10 s' : code

  return new CliError(
    'DEPLOYMENT_UNREACHABLE',
    `the deployment does not respond${typeof reason === 'string' ? ` (${reason})` : ''}`,
    { cause: error }
  )
}

function formatReport (url: string, { findings, notChecked, facts }: Report): string {
  const count = `${findings.length} ${findings.length === 1 ? 'finding' : 'findings'}`

  return [
    url,
    '',
    ...findings.flatMap(formatFinding),
    findings.length === 0 ? 'No findings.' : `${count}.`,
    ...facts,
    ...notChecked.map(part => `Not checked: ${part}.`)
  ].join('\n')
}

function formatFinding ({ id, problem, consequence, fix }: Finding): string[] {
  return [`${id}: ${problem}`, `  Consequence: ${consequence}`, `  Fix: ${fix}`, '']
}
