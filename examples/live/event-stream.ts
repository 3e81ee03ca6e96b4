import type { AuthClient } from 'fastify-token-auth/client'

/**
 * Reads server-sent events with the access token in a header, which `EventSource` cannot send.
 *
 * Connects again when the stream ends, and stops when the user signs out.
 */
export async function readEvents (
  auth: AuthClient,
  url: string,
  onEvent: (data: string) => void
): Promise<void> {
  const signOut = new AbortController()
  const unsubscribe = auth.subscribe(({ status }) => {
    if (status === 'signed-out') {
      signOut.abort()
    }
  })

  while (auth.state.status === 'signed-in') {
    try {
      const response = await auth.fetch(url, { signal: signOut.signal })

      if (response.ok) {
        await readStream(response, async ({ event, data }) => {
          if (event !== 'end') {
            onEvent(data)
          } else if (data === 'AUTH_SESSION_REVOKED') {
            // The response of the server signs the user out, not a line of a stream.
            await auth.refresh()
          }
        })
      }
    } catch {
      // The network, or the user signed out.
    }

    await wait(1000 + Math.random() * 1000, signOut.signal)
  }

  unsubscribe()
}

interface StreamEvent {
  readonly event: string
  readonly data: string
}

async function readStream (
  { body }: Response,
  onEvent: (event: StreamEvent) => Promise<void>
): Promise<void> {
  const reader = body?.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''

  for (;;) {
    const { done = true, value = '' } = await reader?.read() ?? {}
    const blocks = (text + value).split('\n\n')
    text = blocks.pop() ?? ''

    for (const block of blocks) {
      await onEvent({ event: readField(block, 'event'), data: readField(block, 'data') })
    }

    if (done) {
      return
    }
  }
}

function readField (block: string, name: string): string {
  const line = block.split('\n').find(line => line.startsWith(`${name}: `))
  return line?.slice(name.length + 2) ?? ''
}

/** Waits, but not longer than until the signal is aborted. */
function wait (ms: number, signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const timer = setTimeout(resolve, signal.aborted ? 0 : ms)
    signal.addEventListener('abort', () => {
      clearTimeout(timer)
      resolve()
    })
  })
}
