/** A moment in milliseconds since the Unix epoch, or a length of time in milliseconds. */
export type Millis = number

export const SECOND: Millis = 1000
export const MINUTE: Millis = 60 * SECOND
export const HOUR: Millis = 60 * MINUTE
export const DAY: Millis = 24 * HOUR

/** Longest delay that `setTimeout` accepts. A longer one fires immediately. */
export const MAX_TIMER: Millis = 2 ** 31 - 1

/** Largest accepted difference between the clocks of two services. */
export const CLOCK_TOLERANCE: Millis = MINUTE
