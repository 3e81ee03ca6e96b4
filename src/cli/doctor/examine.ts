import { BlockList, isIPv4 } from 'node:net'
import { getNetwork } from '../../lib/ip-network.js'
import { SECOND } from '../../lib/time.js'
import type { Millis } from '../../lib/time.js'
import { checkCookies } from './cookies.js'
import { checkCors } from './cors.js'
import type { CookieUse } from './cors.js'
import { cleanSeen, createFinding } from './findings.js'
import type { Finding } from './findings.js'
import { getAuthCode, parseList } from './http.js'
import type { ProbeResponse } from './http.js'
import { checkJwks } from './jwks.js'
import { isSpoofed, probeLogin } from './login.js'
import type { LoginProbe } from './login.js'
import type { Probe, Report } from './target.js'

/** Difference of two clocks that is reported. `Date` has whole seconds. */
const MAX_CLOCK_DIFFERENCE: Millis = 10 * SECOND
const PRIVATE_NETWORKS = new BlockList()

for (
  const [network, prefix] of [
    ['0.0.0.0', 8],
    ['10.0.0.0', 8],
    ['100.64.0.0', 10],
    ['127.0.0.0', 8],
    ['169.254.0.0', 16],
    ['172.16.0.0', 12],
    ['192.168.0.0', 16]
  ] as const
) {
  PRIVATE_NETWORKS.addSubnet(network, prefix)
}

/** Examines a deployment from outside. Reports the cause of a fault, and not its effects. */
export async function examine (probe: Probe, now: () => Millis): Promise<Report> {
  const { target } = probe
  const sentAt = now()
  const first = await probe.refresh()
  const receivedAt = now()
  const blocking = checkFirstResponse(first)

  if (blocking !== null) {
    return { findings: [blocking], notChecked: ['everything else'], facts: [] }
  }

  const cleared = await probe.logout()
  const usesCookies = cleared.cookies.length > 0
  const login = target.credentials === null
    ? null
    : await probeLogin(probe, target.credentials, usesCookies)
  const jwks = await checkJwks(probe, login?.isKeySigned === true)
  const findings = [
    ...checkScheme(target.base),
    ...checkCookies(
      [...cleared.cookies, ...login?.response.cookies ?? []],
      target.name,
      target.origins.some(origin => origin !== target.ownOrigin)
    ),
    ...await checkCors(probe, await getCookieUse(probe, usesCookies)),
    ...await checkProxy(probe, login, usesCookies),
    ...checkServerClock(first, sentAt, receivedAt),
    ...checkLogin(login),
    ...await checkCache(probe, first),
    ...jwks ?? []
  ]

  return {
    findings,
    notChecked: [
      ...target.origins.length === 0 ? ['CORS for your pages (use --origin)'] : [],
      ...login === null ? ['client address and token times (use --login)'] : [],
      ...usesCookies ? [] : ['cookies (the deployment sets none)'],
      ...jwks === null ? ['JWKS (the deployment has none)'] : []
    ],
    facts: login?.address == null
      ? []
      : [`The app saw the client address ${cleanSeen(login.address)}.`]
  }
}

// With transport "both", the app reads a refresh token in the body, and the error shows that.
async function getCookieUse (probe: Probe, usesCookies: boolean): Promise<CookieUse> {
  if (!usesCookies) {
    return 'none'
  }

  const response = await probe.request('POST', 'refresh', {}, { refresh_token: 'none' })
  return getAuthCode(response) === 'AUTH_REFRESH_INVALID' ? 'optional' : 'required'
}

function checkFirstResponse (response: ProbeResponse): Finding | null {
  const { status, headers } = response

  if (status >= 300 && status < 400) {
    return createFinding('post-redirected', headers.location ?? 'another URL')
  }

  return getAuthCode(response) === null
    ? createFinding('unexpected-response', `status ${status}`)
    : null
}

function checkScheme (base: string): Finding[] {
  const { protocol, hostname } = new URL(base)
  const isLocal = /^(localhost|.+\.localhost|127(\.\d+){3}|\[::1\])$/.test(hostname)
  return protocol === 'https:' || isLocal ? [] : [createFinding('plain-http')]
}

async function checkProxy (
  probe: Probe,
  login: LoginProbe | null,
  usesCookies: boolean
): Promise<Finding[]> {
  const address = login?.address ?? null

  if (address !== null && isSpoofed(address)) {
    return [createFinding('proxy-spoofed', address)]
  }

  const { ownOrigin } = probe.target
  const isOwnOriginRejected = usesCookies &&
    getAuthCode(await probe.logout(ownOrigin)) === 'AUTH_ORIGIN_REJECTED'
  // If the deployment has a public address, its clients cannot have private addresses.
  const isHidden = address !== null && isPrivate(address) &&
    !isPrivate(login?.response.remoteAddress ?? '')
  const evidence = [
    ...isOwnOriginRejected ? [`it treats ${ownOrigin} as another origin`] : [],
    ...isHidden ? [`it saw the address ${address}`] : []
  ]
  return evidence.length === 0 ? [] : [createFinding('proxy-not-trusted', evidence.join(', and '))]
}

/** Whether an address is one of a private network or of this machine. */
function isPrivate (address: string): boolean {
  const network = getNetwork(address)

  return isIPv4(network)
    ? PRIVATE_NETWORKS.check(network)
    : network === '' || /^(0:0:0:0|f[cd]|fe[89ab])/.test(network)
}

function checkServerClock (
  { headers }: ProbeResponse,
  sentAt: Millis,
  receivedAt: Millis
): Finding[] {
  const date = Date.parse(headers.date ?? '')
  // `Date` is up to a second old.
  const ahead = Math.max(0, date - receivedAt)
  const behind = Math.max(0, sentAt - date - SECOND)
  const difference = Math.max(ahead, behind)

  return difference > MAX_CLOCK_DIFFERENCE
    ? [createFinding('clock-skew', String(Math.round(difference / SECOND)))]
    : []
}

function checkLogin (login: LoginProbe | null): Finding[] {
  if (login === null) {
    return []
  }

  const { failure, claims, response } = login

  if (failure !== null) {
    return [createFinding('login-failed', failure)]
  }

  const date = Date.parse(response.headers.date ?? '')
  const difference = Math.abs(Number(claims?.iat) * SECOND - date)

  return difference > MAX_CLOCK_DIFFERENCE
    ? [createFinding('token-clock', String(Math.round(difference / SECOND)))]
    : []
}

async function checkCache (probe: Probe, refreshed: ProbeResponse): Promise<Finding[]> {
  // If a cache saves the first response, the second request shows it.
  await probe.request('GET', 'sessions')
  const listed = await probe.request('GET', 'sessions')
  const { age, 'x-cache': cache, 'cf-cache-status': status } = listed.headers
  const hit = [cache, status].find(value => value !== undefined && /\bhit\b/i.test(value))

  if (age !== undefined || hit !== undefined) {
    return [
      createFinding('response-cached', age === undefined ? `X-Cache: ${hit}` : `Age: ${age}`)
    ]
  }

  const isStorable = (response: ProbeResponse): boolean =>
    getAuthCode(response) !== null &&
    !parseList(response.headers['cache-control']).includes('no-store')
  const routes = [
    ...isStorable(refreshed) ? ['POST refresh'] : [],
    ...isStorable(listed) ? ['GET sessions'] : []
  ]
  return routes.length === 0 ? [] : [createFinding('cache-control', routes.join(', '))]
}
