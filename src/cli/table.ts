/**
 * Formats a table in columns. The first row is the heading.
 *
 * @param rows - Cells. Each row has as many cells as the first one.
 */
export function formatTable (rows: ReadonlyArray<readonly string[]>): string {
  const cleaned = rows.map(row => row.map(removeControlCharacters))
  const widths = (cleaned[0] ?? []).map((_, column) =>
    Math.max(...cleaned.map(row => [...row[column] ?? ''].length))
  )

  return cleaned.map(row =>
    row.map((cell, column) => cell + ' '.repeat((widths[column] ?? 0) - [...cell].length))
      .join('  ')
      .trimEnd()
  ).join('\n')
}

/**
 * Replaces control and invisible characters.
 *
 * A client chooses the name of its device. Escape sequences in it could rewrite the terminal.
 */
export function removeControlCharacters (text: string): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '\uFFFD')
}
