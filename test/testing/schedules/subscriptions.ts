import type { AuthState } from '../../../src/client/index.js'
import { logout } from './calls.js'
import { getAliveTabs } from './state.js'
import type { Schedule, TabState } from './state.js'

/** States that a subscription has received. */
export interface Subscription {
  readonly name: string
  /** Last state that it was told; the state at its start if it was told none. */
  last: AuthState
  isActive: boolean
}

/** More calls for one change mean that they do not end. */
const MAX_CALLS = 100

/**
 * Subscribes to the state of a client in all ways that an app may.
 *
 * @param logsOut - Whether a listener logs out when the user is signed in, as an app does that
 *   rejects a user.
 */
export function subscribeAll (schedule: Schedule, state: TabState, logsOut: boolean): void {
  if (logsOut) {
    let isLoggedOut = false

    state.client.subscribe(({ status }) => {
      if (state.tab.isAlive && status === 'signed-in' && !isLoggedOut) {
        isLoggedOut = true
        void logout(schedule, state)
      }
    })
  }

  subscribe(schedule, state, 'a listener')
  subscribeTwice(schedule, state)
  subscribeAnew(schedule, state)
}

function record (
  { report }: Schedule,
  { tab, client }: TabState,
  subscription: Subscription,
  told: AuthState
): void {
  const { name, last, isActive } = subscription

  if (!isActive) {
    report('state', `${tab.name}: ${name} is told ${told.status} after its end`)
  }

  if (told === last) {
    report('state', `${tab.name}: ${name} is told ${told.status} twice`)
  }

  if (told !== client.state) {
    report('state', `${tab.name}: ${name} is told ${told.status} instead of ${client.state.status}`)
  }

  subscription.last = told
}

function subscribe (schedule: Schedule, state: TabState, name: string): () => void {
  const subscription: Subscription = { name, last: state.client.state, isActive: true }
  state.subscriptions.push(subscription)
  const end = state.client.subscribe(told => {
    record(schedule, state, subscription, told)
  })

  return () => {
    subscription.isActive = false
    end()
  }
}

/** Subscribes one function twice, and ends one of the two subscriptions. */
function subscribeTwice (schedule: Schedule, state: TabState): void {
  const { client } = state
  const subscription: Subscription = {
    name: 'a listener that was subscribed twice',
    last: client.state,
    isActive: true
  }

  const listener = (told: AuthState): void => {
    record(schedule, state, subscription, told)
  }

  state.subscriptions.push(subscription)
  const end = client.subscribe(listener)
  client.subscribe(listener)
  end()
  end()
}

/** Subscribes a listener that ends its subscription when it is called, and starts another one. */
function subscribeAnew (schedule: Schedule, state: TabState): void {
  const { client, tab } = state
  const subscription: Subscription = {
    name: 'a listener that subscribes anew',
    last: client.state,
    isActive: true
  }
  let calls = 0
  let end = client.subscribe(listener)
  state.subscriptions.push(subscription)

  function listener (told: AuthState): void {
    end()

    if (++calls > MAX_CALLS && told === subscription.last) {
      schedule.report('state', `${tab.name}: ${subscription.name} is called without end`)
      return
    }

    record(schedule, state, subscription, told)
    end = client.subscribe(listener)
  }
}

/** Ends all subscriptions of a tab, because its client was disposed. */
export function endSubscriptions ({ subscriptions }: TabState): void {
  for (const subscription of subscriptions) {
    subscription.isActive = false
  }
}

/** Checks that the last state of each subscription is the state of its client. */
export function checkSubscriptions ({ devices, report }: Schedule): void {
  for (const { client, tab, subscriptions } of devices.flatMap(getAliveTabs)) {
    for (const { name, last, isActive } of subscriptions) {
      if (isActive && last !== client.state) {
        report(
          'state',
          `${tab.name}: ${name} was told ${last.status} last, but the state is ` +
            client.state.status
        )
      }
    }
  }
}
