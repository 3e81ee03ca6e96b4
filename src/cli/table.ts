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

/** Replaces control and invisible characters, but keeps line breaks. */
export function cleanLines (text: string): string {
  return text.split('\n').map(removeControlCharacters).join('\n')
}

/** Formats a JSON document. Escapes the characters that {@link cleanLines} replaces. */
export function formatJson (document: object): string {
  return JSON.stringify(document, null, 2).replace(
    /[^\P{C}\n]|[\p{Zl}\p{Zp}]/gu,
    character => character.split('').map(escapeUnit).join('')
  )
}

function escapeUnit (unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
}
