import { Transform } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'

/**
 * Reporter for tap: one line for each file, failures in full, and a closing line with the totals.
 *
 * tap pipes the TAP of the whole run into it (`"reporter"` in package.json).
 */
export default class CompactReporter extends Transform {
  #decoder = new StringDecoder('utf8')
  #rest = ''
  /** Lines of the file that is running. */
  #lines = []
  #skips = []

  _transform (chunk, _encoding, done) {
    const lines = (this.#rest + this.#decoder.write(chunk)).split('\n')
    this.#rest = lines.pop()

    for (const line of lines) {
      this.#readLine(line)
    }

    done()
  }

  _flush (done) {
    this.#readLine(this.#rest)
    done()
  }

  #readLine (line) {
    const file = /^(ok|not ok) \d+ - (.+?) # time=([\d.]+)ms/.exec(line)
    const total = /^# (\{ total: .*\})/.exec(line)

    if (file !== null) {
      this.#reportFile(file[1] === 'ok', file[2], Number(file[3]))
    } else if (total !== null) {
      this.#reportTotal(total[1])
    } else if (/^(Bail out!|ERROR)/.test(line)) {
      this.push(`${line}\n`)
    } else {
      this.#lines.push(line)
    }
  }

  #reportFile (isOk, name, time) {
    this.#skips.push(...this.#lines.filter(line => / # SKIP/.test(line)).map(line => line.trim()))
    const status = isOk ? 'ok    ' : 'FAILED'
    this.push(`${status} ${(time / 1000).toFixed(1).padStart(6)} s  ${name}\n`)

    if (!isOk) {
      this.push(getFailures(this.#lines).join('\n') + '\n')
    }

    this.#lines = []
  }

  // tap: `{ total: 9, pass: 7, fail: 1, skip: 1 }`
  #reportTotal (totals) {
    const count = name => Number(new RegExp(`${name}: (\\d+)`).exec(totals)?.[1] ?? 0)
    const skipped = count('skip')
    const reasons = new Set(this.#skips.map(line => line.replace(/.*# SKIP ?/, '')))

    for (const reason of skipped > 0 ? reasons : []) {
      this.push(`skipped: ${reason}\n`)
    }

    const closing = `${count('pass')} passed, ${count('fail')} failed`
    this.push(`${closing}${skipped > 0 ? `, ${skipped} skipped` : ''}\n`)
  }
}

// The closing test point of a subtest ends with its time.
function isSubtest (line) {
  return / # time=[\d.]+ms$/.test(line)
}

// Failed assertions with the titles of their tests and their details. Drops what has passed.
function getFailures (lines) {
  const shown = []
  const titles = []
  let isInDetails = false

  for (const line of lines) {
    const depth = line.length - line.trimStart().length
    const title = /^ *# Subtest: (.*)/.exec(line)

    if (title !== null) {
      titles.length = depth / 4
      titles.push(title[1])
    } else if (/^ +not ok /.test(line) && !isSubtest(line)) {
      shown.push('', `  ${titles.slice(1).join(' > ')}`, line)
      isInDetails = true
    } else if (/^ *(ok|not ok) |^ *\d+\.\.\d+/.test(line)) {
      isInDetails = false
    } else if (isInDetails && line.trim() !== '') {
      shown.push(line)
    }
  }

  // A file that crashes has no failed assertion.
  return shown.length > 0 ? shown : lines.slice(-40)
}
