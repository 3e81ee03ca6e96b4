/**
 * Compares candidates side by side, because shared machines are noisy.
 *
 * All candidates run once per round, so that a disturbance affects all of them. The result is the
 * median over the rounds of the ratio within a round.
 *
 * @module
 */

/** Measures once, and returns a rate. */
export type Measure = () => Promise<number>

/** Rates of all candidates. */
export interface Comparison {
  /** Median rate of each candidate. */
  readonly medians: Readonly<Record<string, number>>
  /** Rate of each candidate in each round. */
  readonly rounds: readonly Readonly<Record<string, number>>[]
  /** Returns the median over the rounds of the rate of `first`, divided by the rate of `second`. */
  getRatio(first: string, second: string): number
}

/** A row of the table. */
export interface ResultRow {
  /** Name of the measured work. */
  readonly work: string
  /** Name of the candidate that it is compared with. */
  readonly against: string
  /** Result with its unit, for example `41,200 requests per CPU second`. */
  readonly ours: string
  readonly theirs: string
  /** Our rate divided by theirs, or `null` if the limit is not a ratio. */
  readonly ratio: number | null
  /** Limit as it is printed, for example `at least 0.95`. */
  readonly limit: string
  readonly isReached: boolean
}

/** Number and length of the measurements. */
export interface RunSettings {
  readonly rounds: number
  /** Length of one measurement, in milliseconds. */
  readonly ms: number
}

/** Measures a group of rows. */
export type BenchmarkGroup = (settings: RunSettings) => Promise<ResultRow[]>

/** Returns the median of the values. */
export function median (values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1

  return sorted.length % 2
    ? sorted[middle] as number
    : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2
}

/** Measures all candidates in rounds, after one round of warm-up. The order rotates. */
export async function compare (
  candidates: Readonly<Record<string, Measure>>,
  { rounds: roundCount }: Pick<RunSettings, 'rounds'>
): Promise<Comparison> {
  const names = Object.keys(candidates)
  const rounds: Record<string, number>[] = []

  for (let round = -1; round < roundCount; round++) {
    const rates: Record<string, number> = {}

    for (let turn = 0; turn < names.length; turn++) {
      const name = names[(turn + Math.max(round, 0)) % names.length] as string
      rates[name] = await (candidates[name] as Measure)()
    }

    if (round >= 0) {
      rounds.push(rates)
    }
  }

  const getRates = (name: string): number[] => rounds.map(rates => rates[name] as number)

  return {
    rounds,
    medians: Object.fromEntries(names.map(name => [name, median(getRates(name))])),
    getRatio: (first, second) =>
      median(rounds.map(rates => (rates[first] as number) / (rates[second] as number)))
  }
}

/** Whether the run only shows that the benchmark works. */
export function isSmokeRun ({ ms }: Pick<RunSettings, 'ms'>): boolean {
  return ms < 500
}

/**
 * Creates a row for two candidates.
 *
 * @param limit The minimum ratio, or `null` if the row has no limit.
 */
export function createRatioRow (
  limit: number | null,
  work: string,
  [ours, theirs]: readonly [string, string],
  comparison: Comparison,
  unit: string
): ResultRow {
  const ratio = comparison.getRatio(ours, theirs)
  const format = (name: string): string =>
    `${Math.round(comparison.medians[name] as number).toLocaleString('en')} ${unit}`

  return {
    work,
    against: theirs,
    ours: format(ours),
    theirs: format(theirs),
    ratio,
    limit: limit === null ? 'for comparison' : `at least ${limit}`,
    isReached: ratio >= (limit ?? 0)
  }
}
