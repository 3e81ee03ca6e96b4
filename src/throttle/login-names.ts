/**
 * Removes the differences between spellings that databases and people may ignore: case, accents,
 * width, spaces and invisible characters. Both `Straße` and `STRASSE` become `strasse`.
 */
export function foldLogin (login: string): string {
  // Upper case turns some letters into several ones, such as `ß`. The capital `ẞ` needs lower case
  // before.
  return removeMarks(removeMarks(login).toLowerCase().toUpperCase().toLowerCase())
}

function removeMarks (login: string): string {
  return login.normalize('NFKD').replace(/[\p{M}\p{C}\s]/gu, '')
}
