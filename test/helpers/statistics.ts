import { randomInt } from 'node:crypto'

/** Returns the values in a random order. */
export function shuffled<T> (given: readonly T[]): T[] {
  const rest = [...given]
  return given.map(() => rest.splice(randomInt(rest.length), 1)[0] as T)
}

export function getMedian (values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const upper = sorted.length >> 1
  return ((sorted[upper] as number) + (sorted[sorted.length - 1 - upper] as number)) / 2
}

/** Returns ranks from 1. Equal values share a rank. */
function getRanks (values: readonly number[]): number[] {
  const sorted = values.toSorted((a, b) => a - b)
  return values.map(value => (sorted.indexOf(value) + sorted.lastIndexOf(value)) / 2 + 1)
}

function getSum (values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0)
}

/** Returns the Mann-Whitney U of two samples, in standard deviations from its expectation. */
export function mannWhitney (a: readonly number[], b: readonly number[]): number {
  const ranks = getRanks([...a, ...b])
  const u = getSum(ranks.slice(0, a.length)) - a.length * (a.length + 1) / 2
  const product = a.length * b.length
  return (u - product / 2) / Math.sqrt(product * (ranks.length + 1) / 12)
}

/** Returns the Wilcoxon signed ranks in standard deviations. Pairs come from the same round. */
export function wilcoxon (a: readonly number[], b: readonly number[]): number {
  const differences = a.map((value, i) => value - (b[i] as number)).filter(difference =>
    difference !== 0
  )
  const n = differences.length

  if (n === 0) {
    return 0
  }

  const ranks = getRanks(differences.map(Math.abs))
  const w = getSum(ranks.filter((_rank, i) => (differences[i] as number) > 0))
  return (w - n * (n + 1) / 4) / Math.sqrt(n * (n + 1) * (2 * n + 1) / 24)
}
