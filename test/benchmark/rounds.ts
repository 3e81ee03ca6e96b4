// How things are compared here: side by side in one run, in turns, since machines are shared and noisy. What is reported is the
// median of the ratios of the rounds: what disturbs a round disturbs all who take part in it.

/** One who takes part: measures once, and says how much it got done. */
export type Contestant = () => Promise<number>

export interface Comparison {
  /** Median of what each got done. */
  readonly medians: Readonly<Record<string, number>>
  /** Of every round, what each got done. */
  readonly rounds: readonly Readonly<Record<string, number>>[]
  /** The median over the rounds of what the first got done for each unit of the second. */
  ratio(first: string, second: string): number
}

/** A line of the table. */
export interface Row {
  readonly work: string
  readonly against: string
  /** What was measured, with its unit, such as `41,200 requests per CPU second`. */
  readonly ours: string
  readonly theirs: string
  /** Ours divided by theirs; `null` where a limit is not one of a ratio. */
  readonly ratio: number | null
  /** The limit as it is shown, such as `at least 0.95`. */
  readonly limit: string
  readonly isReached: boolean
}

/** How long, and how often. */
export interface Effort {
  readonly rounds: number
  /** Milliseconds that one measures for in one round. */
  readonly ms: number
}

/** A group of lines of the table. */
export type Benchmark = (effort: Effort) => Promise<Row[]>

export function median (values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1

  return sorted.length % 2
    ? sorted[middle] as number
    : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2
}

/** Lets each measure once a round, in an order that turns; a round before the first warms up, and is not counted. */
export async function compare (
  contestants: Readonly<Record<string, Contestant>>,
  { rounds: count }: Pick<Effort, 'rounds'>
): Promise<Comparison> {
  const names = Object.keys(contestants)
  const rounds: Record<string, number>[] = []

  for (let round = -1; round < count; round++) {
    const results: Record<string, number> = {}

    for (let turn = 0; turn < names.length; turn++) {
      const name = names[(turn + Math.max(round, 0)) % names.length] as string
      results[name] = await (contestants[name] as Contestant)()
    }

    if (round >= 0) {
      rounds.push(results)
    }
  }

  const of = (name: string): number[] => rounds.map(results => results[name] as number)

  return {
    rounds,
    medians: Object.fromEntries(names.map(name => [name, median(of(name))])),
    ratio: (first, second) =>
      median(rounds.map(results => (results[first] as number) / (results[second] as number)))
  }
}

/** Whether all is only to be seen to work. */
export function isBrief ({ ms }: Pick<Effort, 'ms'>): boolean {
  return ms < 500
}

/** A line whose limit is the least that the ratio may be; `null` where it is only to be seen. */
export function atLeast (
  limit: number | null,
  work: string,
  [ours, theirs]: readonly [string, string],
  comparison: Comparison,
  unit: string
): Row {
  const ratio = comparison.ratio(ours, theirs)
  const show = (name: string): string =>
    `${Math.round(comparison.medians[name] as number).toLocaleString('en')} ${unit}`
  const shown = limit === null ? 'for comparison' : `at least ${limit}`

  return {
    work,
    against: theirs,
    ours: show(ours),
    theirs: show(theirs),
    ratio,
    limit: shown,
    isReached: ratio >= (limit ?? 0)
  }
}
