import { AuthError, createAuthClient } from 'fastify-token-auth/client'
import { openSocket } from 'fastify-token-auth/client/live'
import type { LiveSocket } from 'fastify-token-auth/client/live'
import { readEvents } from './event-stream.js'

const auth = createAuthClient<{ username: string }>()
let socket: LiveSocket | null = null

function find<Found extends HTMLElement = HTMLElement> (selector: string): Found {
  return document.querySelector<Found>(selector) as Found
}

function show (selector: string, text: string): void {
  find(selector).textContent = text
}

/** Opens the connections of a user. They end by themselves when the user signs out. */
function connect (): void {
  show('#socket', 'connecting')
  socket = openSocket(auth, '/live', {
    onStateChange: state => {
      show('#socket', state)
    },
    onMessage: message => {
      show('#message', String(message))
    }
  })
  void socket.closed.then(({ cause }) => {
    show('#socket', `closed: ${cause}`)
    socket = null
  })
  void readEvents(auth, '/events', data => {
    show('#event', data)
  }).then(() => {
    show('#event', 'closed')
  })
}

auth.subscribe(({ status, user, reason = '' }) => {
  show('[role=status]', user === null ? `${status} ${reason}` : `Signed in as ${user.username}`)
  find('form').hidden = status !== 'signed-out'
  find('section').hidden = status !== 'signed-in'

  if (status === 'signed-in' && socket === null) {
    connect()
  }
})

find<HTMLFormElement>('form').onsubmit = event => {
  event.preventDefault()
  const { username = '', password = '' } = Object.fromEntries(
    new FormData(event.target as HTMLFormElement) as never
  ) as Record<string, string>
  auth.login({ username, password }).catch((error: AuthError) => {
    show('[role=status]', error.code)
  })
}

find('#say').onclick = () => {
  if (socket?.send(find<HTMLInputElement>('#text').value) !== true) {
    show('#message', 'not connected')
  }
}

find('#logout').onclick = () => {
  void auth.logout()
}
