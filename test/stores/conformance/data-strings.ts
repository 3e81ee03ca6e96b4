/** Strings that a database, driver or encoding may change. */
export const strings: Record<string, string> = {
  'emoji of several code points': '👩🏽‍👩‍👧‍👦 🏴󠁧󠁢󠁳󠁣󠁴󠁿 ❤️',
  'characters of 4 bytes': '𠜎𝒳🦊\u{10ffff}',
  quotes: '\'"`\'\'""$$$1$tag$',
  backslashes: '\\ \\\\ \\n \\x00 \\u0041 \\\'; --',
  patterns: '%_*?[a-z]^',
  'braces of arrays and hash tags': '{a,b} {"a",NULL} }{',
  'the string NULL': 'NULL',
  'a number': '007',
  JSON: '{"id":"x","userId":null}',
  'line breaks and tabs': 'a\nb\r\nc\td\u2028e',
  'control characters': '\u0001\u001f\u007f\u0085',
  'right to left': 'שלום مرحبا \u202eabc\u202c',
  'combining sequences': 'e\u0301 a\u0308\u0323 \u1100\u1161 \u212b',
  noncharacters: '\ufeffa\ufffe\uffff\ufffd',
  'only spaces': ' \u00a0\u3000 '
}

/** Ids that a collation, driver or encoding can treat as equal. */
export const similarIds: readonly string[][] = [
  ['ann', 'Ann', 'ANN', 'ann ', ' ann', 'ann\t', 'ann\n', 'ａｎｎ', 'ann\u200b', 'ann\u00ad'],
  ['é', 'e\u0301', 'e', 'É'],
  ['ß', 'ss', 'ẞ'],
  ['i', 'I', 'İ', 'ı'],
  ['1', '01', '1.0', '1e0', '+1'],
  ['null', 'NULL', '', '\\N', '""', '{}'],
  ['a\\', 'a\\\\', 'a%', 'a_', 'a*'],
  ['🦊', '🐺', '\ufffd', '?', '????']
]

/**
 * Strings that some databases cannot store, and strings that could replace them.
 *
 * A silent replacement could turn an id into the id of another user.
 */
export const unstorable: Record<string, readonly [value: string, replacements: readonly string[]]> =
  {
    'an inner NUL': ['a\0b', ['a', 'ab', 'a\\0b']],
    'a trailing NUL': ['a\0', ['a']],
    'a single NUL': ['\0', ['']],
    'a lone high surrogate': ['fox \ud83e', ['fox \ufffd', 'fox ', 'fox ?']],
    'a lone low surrogate': ['\udd8a', ['\ufffd', '', '?']],
    'surrogates in the wrong order': ['\udd8a\ud83e', ['\ufffd\ufffd', '🦊']]
  }
