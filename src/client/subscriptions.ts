/** Values that change over time, and the listeners that are notified of them. */
export interface Subscriptions<Value> {
  /**
   * Calls the listener with each later value.
   *
   * @returns A function that removes this subscription.
   */
  add(listener: (value: Value) => void): () => void
  /** Notifies each subscription of a value. */
  notify(value: Value): void
  /** Removes all subscriptions. */
  clear(): void
}

/**
 * Creates an empty set of subscriptions.
 *
 * A listener may change the value, subscribe or unsubscribe. Each subscription receives the values
 * in order, may skip a value that was replaced meanwhile, and always receives the last one.
 */
export function createSubscriptions<Value> (): Subscriptions<Value> {
  // An object for each subscription, because one function may be subscribed twice.
  const subscriptions = new Set<{ readonly listener: (value: Value) => void }>()
  let version = 0

  return {
    add (listener) {
      const subscription = { listener }
      subscriptions.add(subscription)

      return () => {
        subscriptions.delete(subscription)
      }
    },

    notify (value) {
      const current = ++version

      // A copy, because subscriptions of a listener must not receive the current value.
      for (const subscription of [...subscriptions]) {
        // A listener changed the value, and all have received the later one.
        if (version !== current) {
          return
        }

        if (subscriptions.has(subscription)) {
          callListener(subscription.listener, value)
        }
      }
    },

    clear () {
      subscriptions.clear()
    }
  }
}

/** Calls a listener of the app. Its exceptions appear in the console. */
export function callListener<Value> (listener: (value: Value) => void, value: Value): void {
  try {
    listener(value)
  } catch (error) {
    console.error(error)
  }
}
