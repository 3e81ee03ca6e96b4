// Sentences and links of the README and of every guide in examples/.

import { existsSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { root } from '../helpers/consumer.js'
import { readGuide, readGuides } from '../helpers/guides.js'

const MAX_WORDS = 25
const MAX_README_BYTES = 13_000

const { repository } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  repository: { url: string }
}
const repositoryUrl = repository.url.replace(/^git\+|\.git$/g, '')

/** Files that the URLs of the repository in a text name. */
function findRepositoryFiles (text: string): string[] {
  const rawUrl = repositoryUrl.replace('github.com', 'raw.githubusercontent.com')
  const pattern = new RegExp(
    `(?:${repositoryUrl}/(?:blob|tree)/main|${rawUrl}/main)/([^\\s)#]+)`,
    'g'
  )
  return [...text.matchAll(pattern)].map(([, file = '']) => file)
}

/** Removes code blocks, comments and the targets of links. */
function removeCode (text: string): string {
  return text
    .replace(/^ *```.*?^ *```$/gms, '\n')
    .replace(/<!--.*?-->/gs, '')
}

/** Returns the sentences outside of code blocks, tables and headings. */
export function findSentences (text: string): string[] {
  const lines = removeCode(text).split('\n').map(line =>
    /^( *\||#|\[[\w-]+\]: )/.test(line) ? '' : line.replace(/^ *([-*]|\d+\.) /, '\n\n')
  )
  const paragraphs = lines.join('\n').split(/\n\s*\n/).map(paragraph =>
    paragraph
      // Code and the target of a link count as one word, or as none.
      .replaceAll(/`[^`]+`/g, 'code')
      .replaceAll(/!?\[([^\]]*)\](\([^)]*\)|\[[^\]]*\])?/g, '$1')
      .replaceAll(/[*_]/g, '')
      .replaceAll(/\s+/g, ' ')
  )

  return paragraphs.flatMap(paragraph => paragraph.split(/(?<=[.!?])\s+|\s·\s/))
    .map(sentence => sentence.trim())
    .filter(sentence => sentence !== '')
}

function countWords (sentence: string): number {
  return sentence.split(' ').filter(word => /[\p{L}\p{N}]/u.test(word)).length
}

/** Anchors of the headings, as GitHub creates them. */
function findAnchors (text: string): Set<string> {
  const headings = removeCode(text).matchAll(/^#+ (.+)$/gm)

  return new Set(
    [...headings].map(([, heading = '']) =>
      heading.toLowerCase().replaceAll(/[^\p{L}\p{N}\- _]/gu, '').replaceAll(' ', '-')
    )
  )
}

t.test(`the README has at most ${MAX_README_BYTES} bytes`, async t => {
  t.ok(Buffer.byteLength(readGuide('README.md').text) <= MAX_README_BYTES)
})

t.test('every link of the README is absolute, and its file exists', async t => {
  const { text } = readGuide('README.md')
  const targets = [...removeCode(text).matchAll(/\]\(([^)]+)\)|^\[[\w-]+\]: (\S+)$/gm)]
    .map(([, inline, defined]) => inline ?? defined ?? '')
  t.ok(targets.length > 20)

  for (const target of targets) {
    t.match(target, /^(https:\/\/|#)/)
  }

  const files = findRepositoryFiles(text)
  t.ok(files.length > 15)

  for (const file of files) {
    t.ok(existsSync(join(root, file)), file)
    // GitHub shows the README of a folder below its files.
    t.ok(statSync(join(root, file)).isFile() || existsSync(join(root, file, 'README.md')), file)
  }

  for (const [, name = ''] of removeCode(text).matchAll(/\]\[([\w-]+)\]/g)) {
    t.match(text, new RegExp(`^\\[${name}\\]: `, 'm'), `[${name}] has a target`)
  }
})

for (const { path, text } of readGuides()) {
  t.test(`every sentence of ${path} has at most ${MAX_WORDS} words`, async t => {
    t.strictSame(findSentences(text).filter(sentence => countWords(sentence) > MAX_WORDS), [])
  })

  t.test(`every sentence of ${path} begins with its subject`, async t => {
    const starts = findSentences(text).filter(sentence => !sentence.endsWith('?'))
    t.strictSame(starts.filter(sentence => /^(What|Of|Where|Whoever)\b/.test(sentence)), [])
  })

  t.test(`every link of ${path} leads to a file and a heading`, async t => {
    for (const [, target = ''] of removeCode(text).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (target.startsWith('https:') || target.startsWith('http:')) {
        continue
      }

      const [file = '', anchor] = target.split('#')
      const linked = file === '' ? path : join(dirname(path), file)
      t.ok(existsSync(join(root, linked)), target)

      if (anchor !== undefined && existsSync(join(root, linked))) {
        const name = statSync(join(root, linked)).isDirectory() ? join(linked, 'README.md') : linked
        t.ok(findAnchors(readGuide(name).text).has(anchor), `${target} has a heading`)
      }
    }
  })
}

t.test('a long sentence is found, and code, tables and lists are no part of it', async t => {
  const words = (count: number): string => Array.from({ length: count }, () => 'word').join(' ')
  const long = (text: string): number =>
    findSentences(text).filter(sentence => countWords(sentence) > MAX_WORDS).length
  t.equal(long(`${words(26)}.`), 1)
  t.equal(long(`${words(20)}\n${words(6)}.`), 1)
  t.equal(long(`- ${words(13)}\n- ${words(13)}`), 0)
  t.equal(long(`${words(25)}. ${words(25)}.`), 0)
  t.equal(long(`${words(24)} \`one two three\`.`), 0)
  t.equal(long(`| ${words(30)} |`), 0)
  t.equal(long(`\`\`\`text\n${words(30)}\n\`\`\``), 0)
})
