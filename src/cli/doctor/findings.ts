import { removeControlCharacters } from '../table.js'

const MAX_SEEN_LENGTH = 300

/** Fault of a deployment. */
export interface Finding {
  readonly id: FindingId
  readonly problem: string
  readonly consequence: string
  readonly fix: string
}

type Texts = Omit<Finding, 'id'>

/** Texts of the findings by ID. The argument is the detail that was found. */
const texts = {
  'post-redirected': (location: string): Texts => ({
    problem: `POST requests are redirected to ${location}.`,
    consequence: 'Clients send the next request without its body, or refuse the redirect. ' +
      'Nobody can log in or refresh.',
    fix: 'Give clients the final URL, and let the proxy redirect GET requests only.'
  }),
  'unexpected-response': (status: string): Texts => ({
    problem: `POST refresh returned ${status} without a code of the plugin.`,
    consequence: 'The URL is wrong, or something in front of the app responds instead of it.',
    fix: 'Use the URL with the prefix of the plugin, such as https://api.example.com/auth. ' +
      'Name moved routes with --route.'
  }),
  'plain-http': (): Texts => ({
    problem: 'The deployment is used over plain http.',
    consequence: 'Anyone on the network can read passwords and tokens.',
    fix: 'Serve https, for example with a proxy that terminates TLS.'
  }),
  'cookie-secure': (names: string): Texts => ({
    problem: `Cookie without Secure: ${names}.`,
    consequence:
      'Browsers also send it over plain http, where anyone on the network can read it. ' +
      'They drop it if the name starts with "__Host-" or "__Secure-".',
    fix: 'Remove "cookie.secure: false", and let no proxy change Set-Cookie.'
  }),
  'cookie-http-only': (names: string): Texts => ({
    problem: `Cookie without HttpOnly: ${names}.`,
    consequence: 'A script on the page can read the token.',
    fix: 'The plugin sets HttpOnly. Find the proxy or hook that changes Set-Cookie.'
  }),
  'cookie-same-site': (names: string): Texts => ({
    problem: `Cookie without SameSite=Strict or SameSite=Lax: ${names}.`,
    consequence: 'Other sites can start requests that carry the cookie.',
    fix: 'Set "cookie.sameSite" to "strict" or "lax". If pages of another site need the cookie, ' +
      'name their origin with --origin.'
  }),
  'cookie-prefix': (names: string): Texts => ({
    problem: `Cookie without the prefix "__Host-": ${names}.`,
    consequence: 'Any host of the site can set a cookie of this name, and sign a visitor in as ' +
      'another user.',
    fix: 'Remove "cookie.path", and let no proxy change the names of cookies.'
  }),
  'cookie-rejected': (names: string): Texts => ({
    problem: `Cookie with the prefix "__Host-", but with Domain or another Path than /: ${names}.`,
    consequence: 'Browsers drop the cookie, so nobody stays signed in.',
    fix: 'Remove the rule of the proxy that changes the cookie, such as proxy_cookie_path or ' +
      'proxy_cookie_domain of nginx.'
  }),
  'cors-any-origin': (origin: string): Texts => ({
    problem: `CORS allows every origin with credentials. It allowed ${origin}.`,
    consequence: 'Any page can read responses to requests with the cookies of its visitors.',
    fix: 'List the origins, such as origin: ["https://app.example.org"] in @fastify/cors.'
  }),
  'cors-wildcard-credentials': (): Texts => ({
    problem: 'CORS combines Access-Control-Allow-Origin: * with credentials.',
    consequence: 'Browsers refuse all requests with cookies from other origins.',
    fix: 'List the origins instead of "*".'
  }),
  'cors-origin-refused': (origin: string): Texts => ({
    problem: `CORS does not allow the origin ${origin}.`,
    consequence: 'Pages of this origin cannot log in or refresh.',
    fix: 'Add the origin in @fastify/cors, and register @fastify/cors before the plugin.'
  }),
  'cors-duplicate': (origin: string): Texts => ({
    problem: `Responses to ${origin} have two values of Access-Control-Allow-Origin.`,
    consequence: 'Browsers refuse such responses.',
    fix: 'Set CORS headers in the proxy or in the app, not in both.'
  }),
  'cors-credentials': (origin: string): Texts => ({
    problem: `CORS does not allow credentials for ${origin}.`,
    consequence: 'Browsers neither send nor accept the cookies of the plugin.',
    fix: 'Set credentials: true in @fastify/cors.'
  }),
  'cors-preflight': (missing: string): Texts => ({
    problem: `CORS preflights do not allow ${missing}.`,
    consequence: 'Browsers do not send these requests.',
    fix: 'Add them to allowedHeaders and methods of @fastify/cors.'
  }),
  'cors-expose': (headers: string): Texts => ({
    problem: `CORS does not expose ${headers}.`,
    consequence: 'Pages cannot read these headers. The client retries at the wrong time, or ' +
      'cannot tell why a request failed.',
    fix: 'Pass "exposedHeaders" of fastify-token-auth to @fastify/cors, and let no proxy replace ' +
      'Access-Control-Expose-Headers.'
  }),
  'origin-untrusted': (origin: string): Texts => ({
    problem: `The plugin rejects cookies from pages of ${origin}.`,
    consequence: 'Pages of this origin get 403 AUTH_ORIGIN_REJECTED.',
    fix: 'Add the origin to "cookie.origins".'
  }),
  'proxy-not-trusted': (evidence: string): Texts => ({
    problem: `The app does not know the URL or the address of its clients: ${evidence}.`,
    consequence: 'Login limits count all clients as one, DPoP proofs fail, and browsers without ' +
      'Sec-Fetch-Site get 403.',
    fix: 'Set trustProxy of Fastify to the address of the proxy. Let the proxy send Host, ' +
      'X-Forwarded-Proto and X-Forwarded-For.'
  }),
  'proxy-spoofed': (address: string): Texts => ({
    problem: `The app took the address ${address} from a header of the client.`,
    consequence: 'An attacker chooses an address for each login, and evades the limit per address.',
    fix: 'Set trustProxy of Fastify to the address of the proxy instead of true.'
  }),
  'clock-skew': (seconds: string): Texts => ({
    problem: `The clock of the server differs from this machine by ${seconds} s.`,
    consequence: 'One of the two is wrong. Services with another clock reject valid tokens.',
    fix: 'Run NTP on both, and compare again.'
  }),
  'token-clock': (seconds: string): Texts => ({
    problem: `The time in access tokens differs from the clock of the server by ${seconds} s.`,
    consequence: 'Services that verify them by their own clock reject valid tokens, or accept ' +
      'expired ones.',
    fix: 'Run NTP on the database server. Its clock provides the time of the tokens.'
  }),
  'cache-control': (routes: string): Texts => ({
    problem: `Responses without Cache-Control: no-store: ${routes}.`,
    consequence: 'A browser or proxy can store tokens, and return them to another user.',
    fix: 'Let no proxy or hook replace Cache-Control of the auth routes.'
  }),
  'response-cached': (evidence: string): Texts => ({
    problem: `A cache responds instead of the app: ${evidence}.`,
    consequence: 'Users get responses of other users, and logouts have no effect.',
    fix: 'Exclude the auth routes from the CDN or proxy cache.'
  }),
  'jwks-unreachable': (reason: string): Texts => ({
    problem: `The JWKS cannot be read: ${reason}.`,
    consequence: 'Other services cannot verify access tokens.',
    fix: 'Route the path of the JWKS to the app. Name another URL with --jwks.'
  }),
  'jwks-content-type': (type: string): Texts => ({
    problem: `The JWKS has the content type ${type}.`,
    consequence: 'Some libraries refuse to read it.',
    fix: 'Send application/jwk-set+json or application/json, as the app does.'
  }),
  'jwks-private-key': (kids: string): Texts => ({
    problem: `The JWKS contains private or secret keys: ${kids}.`,
    consequence: 'Anyone can sign tokens for any user.',
    fix: 'Remove them, rotate the keys now, and revoke all sessions.'
  }),
  'jwks-kid': (reason: string): Texts => ({
    problem: `The JWKS has ${reason}.`,
    consequence: 'Services cannot choose the key of a token, and reject it after a rotation.',
    fix: 'Publish the JWKS of the app unchanged.'
  }),
  'jwks-cache': (evidence: string): Texts => ({
    problem: `The JWKS is cached for too long: ${evidence}.`,
    consequence: 'After a rotation, services reject tokens of the new key, and accept the old one.',
    fix: 'Cache it for at most 300 s, as Cache-Control of the app says.'
  }),
  'login-failed': (reason: string): Texts => ({
    problem: `The login failed: ${reason}.`,
    consequence: 'Cookies of a login, token times and the address of clients were not checked.',
    fix: 'Check FTA_USERNAME and FTA_PASSWORD.'
  })
} as const satisfies Record<string, (seen: string) => Texts>

/** ID of a finding. It does not change. */
export type FindingId = keyof typeof texts

/** IDs of all findings. */
export const findingIds = Object.keys(texts) as FindingId[]

/** Creates a finding. */
export function createFinding (id: FindingId, seen = ''): Finding {
  return { id, ...texts[id](cleanSeen(seen)) }
}

/** Shortens a string of a deployment to one line, so that it cannot look like other findings. */
export function cleanSeen (seen: string): string {
  const text = removeControlCharacters(seen)
  return text.length > MAX_SEEN_LENGTH ? `${text.slice(0, MAX_SEEN_LENGTH - 1)}…` : text
}
