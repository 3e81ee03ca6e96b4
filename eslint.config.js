import neostandard from 'neostandard'

export default [
  ...neostandard({ ts: true, ignores: ['dist', 'coverage', '.tap'] }),
  {
    rules: {
      // An assignment to a name that says what is thrown away reads better than a bare `void`.
      'no-void': 'off',
      '@stylistic/max-len': ['error', { code: 130, ignoreUrls: true, ignoreStrings: true, ignoreTemplateLiterals: true, ignoreRegExpLiterals: true }]
    }
  }
]
