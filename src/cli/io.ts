import { createInterface } from 'node:readline/promises'
import type { Millis } from '../lib/time.js'
import { sendRequest } from './doctor/http.js'
import type { SendRequest } from './doctor/http.js'

/** Everything that a command uses of its process. Tests replace it. */
export interface Io {
  readonly writeOut: (text: string) => void
  readonly writeError: (text: string) => void
  readonly env: Readonly<Record<string, string | undefined>>
  /** Folder from which drivers are loaded. */
  readonly folder: string
  /** Whether a person can answer a question. */
  readonly isInteractive: boolean
  /** Asks a person, and returns the answer. */
  readonly ask: (question: string) => Promise<string>
  /** Sends the requests of `doctor`. */
  readonly sendRequest: SendRequest
  /** Clock of this machine. */
  readonly now: () => Millis
}

/** Returns the {@link Io} of this process. */
export function createProcessIo (): Io {
  const { stdin, stdout, stderr } = process

  return {
    writeOut: text => {
      stdout.write(text)
    },
    writeError: text => {
      stderr.write(text)
    },
    env: process.env,
    folder: process.cwd(),
    isInteractive: stdin.isTTY && stderr.isTTY,
    async ask (question) {
      // On stderr, so that a redirected stdout contains the result only.
      const reader = createInterface({ input: stdin, output: stderr })

      // Closing the input, such as by Ctrl+D, is a refusal.
      try {
        return await Promise.race([
          reader.question(question),
          new Promise<string>(resolve => {
            reader.once('close', () => {
              resolve('')
            })
          })
        ])
      } finally {
        reader.close()
      }
    },
    sendRequest,
    now: Date.now
  }
}
