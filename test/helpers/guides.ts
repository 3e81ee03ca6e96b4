import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './consumer.js'

/** Code block of a guide. */
export interface Block {
  /** First word after the fence, such as `ts`. */
  readonly language: string
  /** Other words after the fence. */
  readonly marks: readonly string[]
  readonly code: string
  /** Line of the fence, from 1. */
  readonly line: number
  /** Index of the heading above it. */
  readonly section: number
}

/** README of the repository or of an example. */
export interface Guide {
  /** Path from the root of the repository. */
  readonly path: string
  readonly text: string
  readonly blocks: readonly Block[]
}

function parseBlocks (text: string): Block[] {
  const blocks: Block[] = []
  let open: { info: string, line: number, code: string[] } | null = null
  let section = 0

  for (const [i, line] of text.split('\n').entries()) {
    if (open === null) {
      section += /^#+ /.test(line) ? 1 : 0
      const info = /^ *```(.*)$/.exec(line)?.[1]
      open = info === undefined ? null : { info, line: i + 1, code: [] }
    } else if (/^ *```$/.test(line)) {
      const [language = '', ...marks] = open.info.split(' ')
      const code = open.code.map(line => `${line}\n`).join('')
      blocks.push({ language, marks, code, line: open.line, section })
      open = null
    } else {
      open.code.push(line)
    }
  }

  return blocks
}

export function readGuide (path: string): Guide {
  const text = readFileSync(join(root, path), 'utf8')
  return { path, text, blocks: parseBlocks(text) }
}

/** Returns the README of the repository and every Markdown file of the examples. */
export function readGuides (): Guide[] {
  const examples = readdirSync(join(root, 'examples'), { withFileTypes: true })
    .filter(entry => entry.isDirectory())
    .flatMap(({ name }) => {
      // Packages of an example contain links to this repository, so a search in them would not end.
      const files = readdirSync(join(root, 'examples', name), { withFileTypes: true })

      return files.filter(file => file.name.endsWith('.md'))
        .map(file => `examples/${name}/${file.name}`)
    })
  return ['README.md', 'examples/README.md', ...examples].map(readGuide)
}
