// One after the other.

/** Does its work when all that was asked for before is done, or has failed. */
export type Queue = <Result>(work: () => Promise<Result>) => Promise<Result>

export function createQueue (): Queue {
  let last: Promise<unknown> = Promise.resolve()
  return <Result>(work: () => Promise<Result>) => (last = last.then(work, work)) as Promise<Result>
}
