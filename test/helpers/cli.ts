import { sendRequest } from '../../src/cli/doctor/http.js'
import type { ExitCode } from '../../src/cli/errors.js'
import type { Io } from '../../src/cli/io.js'
import { run } from '../../src/cli/run.js'
import { root } from './consumer.js'

export interface CliResult {
  readonly code: ExitCode
  readonly out: string
  readonly error: string
  /** Questions that a person was asked. */
  readonly questions: readonly string[]
  /** The document that `--json` printed. */
  json(): Record<string, any>
}

export interface CliOptions extends Partial<Io> {
  /** Answer of a person at a terminal. Without it, there is no terminal. */
  readonly answer?: string
}

/** Runs a command line in this process. */
export async function runCli (
  argv: readonly string[],
  { answer, ...io }: CliOptions = {}
): Promise<CliResult> {
  let out = ''
  let error = ''
  const questions: string[] = []
  const code = await run(argv, {
    writeOut: text => {
      out += text
    },
    writeError: text => {
      error += text
    },
    env: {},
    folder: root,
    isInteractive: answer !== undefined,
    async ask (question) {
      questions.push(question)
      return answer ?? ''
    },
    sendRequest,
    now: Date.now,
    ...io
  })

  return {
    code,
    out,
    error,
    questions,
    json: () => JSON.parse(out) as Record<string, any>
  }
}
