import type { Millis } from './time.js'

/**
 * Waits for work for a limited time. The work goes on after the timeout, and its result is ignored.
 *
 * The timer does not keep the process alive.
 *
 * @param onTimeout - Returns the error that a timeout rejects with.
 * @throws The error of the work, or that of `onTimeout`.
 */
export async function limitTime<T> (
  timeout: Millis,
  work: Promise<T>,
  onTimeout: () => Error
): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const expiry = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(onTimeout())
    }, timeout).unref()
  })

  try {
    return await Promise.race([work, expiry])
  } finally {
    clearTimeout(timer)
  }
}
