import { Transform } from 'node:stream'
import { inspect } from 'node:util'
import { Parser } from 'tap-parser'

/** Details of a failure that repeat other details or say nothing to a reader. */
const HIDDEN_DETAILS = new Set(['at', 'compare', 'handles', 'signal', 'tapCaught', 'test'])

/**
 * Reporter for tap: one line for each file, failures in full, and a closing line with the totals.
 *
 * tap pipes the TAP of the whole run into it (`"reporter"` in package.json).
 */
export default class CompactReporter extends Transform {
  #parser = new Parser()
  #totals = { passed: 0, failed: 0, skips: [] }

  constructor () {
    super()
    this.#readFiles(this.#parser)
    this.#parser.on('bailout', reason => {
      this.push(`Bail out! ${reason}\n`)
    })
  }

  _transform (chunk, _encoding, done) {
    this.#parser.write(chunk)
    done()
  }

  _flush (done) {
    this.#parser.end()
    const { passed, failed, skips } = this.#totals

    for (const reason of new Set(skips)) {
      const count = skips.filter(other => other === reason).length
      this.push(`skipped ${count} ${count === 1 ? 'test' : 'tests'}: ${reason}\n`)
    }

    const skipped = skips.length > 0 ? `, ${skips.length} skipped` : ''
    this.push(`${passed} passed, ${failed} failed${skipped}\n`)
    done()
  }

  /** Reports each subtest as a file, and each subtest of a shared process as a file. */
  #readFiles (parser) {
    let results = createResults()
    let failedBefore = 0
    parser.on('child', child => {
      results = createResults()
      failedBefore = this.#totals.failed

      if (isSharedProcess(child.name)) {
        this.#readFiles(child)
      } else {
        readTest(child, [], results)
      }
    })
    parser.on('assert', result => {
      // The files of a shared process are reported. It has a failure of its own if they passed.
      const isReported = isSharedProcess(result.name) &&
        (result.ok || this.#totals.failed > failedBefore)

      if (!isReported) {
        this.#reportFile(result, results)
      }

      results = createResults()
    })
  }

  #reportFile ({ ok, name, time, diag, skip }, { passed, failures, skips, output }) {
    if (!ok && failures.length === 0) {
      failures.push({ titles: [describeExit(diag)], details: {} })
    }

    // tap skips a file without tests.
    if (skip !== false) {
      skips.push(skip)
    }

    this.#totals.passed += passed
    this.#totals.failed += failures.length
    this.#totals.skips.push(...skips)
    const status = failures.length === 0 ? 'ok    ' : 'FAILED'
    const seconds = ((time ?? 0) / 1000).toFixed(1)
    this.push(`${status}${seconds.padStart(7)} s${String(passed).padStart(6)}  ${name}\n`)

    if (failures.length > 0) {
      const parts = failures.map(describeFailure)

      if (output.trim() !== '') {
        parts.push(`output of the process:\n${indent(output.trimEnd())}`)
      }

      this.push(`${indent(parts.join('\n\n'))}\n\n`)
    }
  }
}

function isSharedProcess (name) {
  return name.startsWith('.tap/shared/')
}

function createResults () {
  return { passed: 0, failures: [], skips: [], output: '' }
}

function readTest (parser, titles, results) {
  let failuresInside = 0
  parser.on('child', child => {
    const before = results.failures.length
    readTest(child, [...titles, child.name], results)
    child.on('complete', () => {
      failuresInside = results.failures.length - before
    })
  })
  parser.on('extra', text => {
    results.output += text
  })
  parser.on('assert', result => {
    if (result.skip !== false) {
      results.skips.push(result.skip === true ? result.name : result.skip)
    } else if (!result.ok && result.todo === false) {
      // A subtest that fails because of its assertions adds nothing to them.
      if (failuresInside === 0) {
        results.failures.push({ titles: [...titles, result.name], details: result.diag ?? {} })
      }
    } else if (!result.closingTestPoint) {
      results.passed++
    }

    failuresInside = 0
  })
}

function describeExit (diag) {
  return diag?.signal
    ? `the process was killed by ${diag.signal}`
    : `the process ended with exit code ${diag?.exitCode ?? 0}`
}

function describeFailure ({ titles, details }) {
  const lines = [titles.join(' > ')]

  for (const [name, value] of Object.entries(details)) {
    if (!HIDDEN_DETAILS.has(name)) {
      const text = typeof value === 'string' ? value.trimEnd() : inspect(value, { depth: 10 })
      lines.push(indent(text.includes('\n') ? `${name}:\n${indent(text)}` : `${name}: ${text}`))
    }
  }

  return lines.join('\n')
}

function indent (text) {
  return text.replace(/^(?=.)/gm, '  ')
}
