/**
 * Sessions for tests of your routes, and faults for tests of your clients.
 *
 * @module fastify-token-auth/testing
 */

export { createFaults, ScheduleError } from './faults.js'
export { fakeAuth } from './fake-auth.js'
export { defaultRates } from './plan.js'
export { signIn } from './sign-in.js'
export type { SignInOptions } from '../http/sign-in-options.js'
export type { Action, Faults, FaultsOptions } from './faults.js'
export type { Clock } from './clock.js'
export type { CookieJar } from './cookie-jar.js'
export type { Device, StorageFault, StorageOperation, Tab, TabOptions } from './device.js'
export type { FakeAuthPlugin, FakeAuthRequest, FakeUser, GetFakeUser } from './fake-auth.js'
export type { FaultKind, OddKind } from './fault-kind.js'
export type { FaultRates, Interceptor } from './plan.js'
export type { LogEntry } from './log.js'
export type { Random } from './random.js'
export type { BrowserCookie, SignedInSession, SignInApp } from './sign-in.js'
