import stylistic from '@stylistic/eslint-plugin'
import jsdoc from 'eslint-plugin-jsdoc'
import neostandard from 'neostandard'

const maxLength = {
  code: 100,
  ignoreUrls: true,
  ignoreStrings: true,
  ignoreTemplateLiterals: true,
  ignoreRegExpLiterals: true
}

export default [
  // dprint formats the code (dprint.json). ESLint checks what a formatter cannot decide.
  ...neostandard({ ts: true, noStyle: true, ignores: ['**/dist', 'coverage', 'docs', '.tap'] }),
  {
    plugins: { '@stylistic': stylistic },
    rules: {
      'no-void': 'off',
      curly: ['error', 'all'],
      '@stylistic/brace-style': ['error', '1tbs', { allowSingleLine: false }],
      '@stylistic/max-len': ['error', maxLength],
      '@stylistic/no-multiple-empty-lines': ['error', { max: 1, maxBOF: 0, maxEOF: 0 }],
      '@stylistic/padding-line-between-statements': [
        'error',
        { blankLine: 'always', prev: '*', next: ['block-like', 'multiline-return'] },
        { blankLine: 'always', prev: 'block-like', next: '*' },
        { blankLine: 'any', prev: ['case', 'default'], next: ['case', 'default'] }
      ]
    }
  },
  {
    files: ['src/**/*.ts'],
    plugins: { jsdoc },
    rules: {
      '@typescript-eslint/no-explicit-any': 'error',
      'max-lines': ['error', { max: 250, skipBlankLines: true, skipComments: true }],
      'jsdoc/require-jsdoc': ['error', {
        publicOnly: true,
        require: { ClassDeclaration: true, FunctionDeclaration: true }
      }],
      'jsdoc/require-hyphen-before-param-description': ['error', 'always']
    }
  },
  {
    files: ['src/stores/conformance/*.ts'],
    rules: { 'max-lines': 'off' }
  },
  {
    files: ['test/**/*.ts'],
    rules: { 'max-lines': ['error', 400] }
  }
]
