/**
 * Removes the differences between spellings that databases and people may ignore: case, accents,
 * width, spaces and invisible characters. Both `Straße` and `STRASSE` become `strasse`.
 */
export function foldLogin (login: string): string {
  // Upper case first, because some letters become several ones there, such as `ß`.
  return removeMarks(removeMarks(login).toUpperCase().toLowerCase())
}

function removeMarks (login: string): string {
  return login.normalize('NFKD').replace(/[\p{M}\p{C}\s]/gu, '')
}
