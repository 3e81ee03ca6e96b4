import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import Provider from 'oidc-provider'
import type { Adapter, AdapterPayload } from 'oidc-provider'
import { createRefreshWorkload, createUserId, SECRET } from '../http/servers/shared.js'
import type { ServerSettings, StartedServer } from '../http/servers/shared.js'

/**
 * Adapter that saves tokens in a Map.
 *
 * The built-in adapter reads all tokens of a grant with each write, so that each rotation would be
 * slower than the one before.
 */
class MapAdapter implements Adapter {
  readonly #rows = new Map<string, AdapterPayload>()

  async upsert (id: string, payload: AdapterPayload): Promise<void> {
    this.#rows.set(id, payload)
  }
  async find (id: string): Promise<AdapterPayload | undefined> {
    return this.#rows.get(id)
  }
  async findByUid (): Promise<undefined> {}
  async findByUserCode (): Promise<undefined> {}
  async destroy (id: string): Promise<void> {
    this.#rows.delete(id)
  }

  async consume (id: string): Promise<void> {
    const row = this.#rows.get(id)

    if (row !== undefined) {
      row.consumed = Math.floor(Date.now() / 1000)
    }
  }

  async revokeByGrantId (grantId: string): Promise<void> {
    for (const [id, row] of this.#rows) {
      if (row.grantId === grantId) {
        this.#rows.delete(id)
      }
    }
  }
}

const CLIENT = 'benchmark'
const SCOPE = 'offline_access'

/** Starts oidc-provider with rotation, and with opaque access tokens, which are the faster ones. */
export async function startRefreshServer (
  { tokens: count }: ServerSettings
): Promise<StartedServer> {
  const provider = new Provider('http://127.0.0.1', {
    adapter: MapAdapter,
    clients: [{
      client_id: CLIENT,
      token_endpoint_auth_method: 'none',
      redirect_uris: ['http://127.0.0.1/callback'],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code']
    }],
    cookies: { keys: [SECRET] },
    rotateRefreshToken: true,
    findAccount: (_context, id) => ({ accountId: id, claims: () => ({ sub: id }) })
  })
  const server = createServer(provider.callback())
  await new Promise<void>(resolve => {
    server.listen(0, '127.0.0.1', resolve)
  })

  const client = await provider.Client.find(CLIENT)

  if (client === undefined) {
    throw new Error('oidc-provider did not find its client')
  }

  const tokens: string[] = []

  for (let n = 0; n < count; n++) {
    const accountId = createUserId(n)
    const grant = new provider.Grant({ clientId: CLIENT, accountId })
    grant.addOIDCScope(`openid ${SCOPE}`)
    const grantId = await grant.save()
    tokens.push(
      await new provider.RefreshToken(
        { client, accountId, grantId, scope: SCOPE, gty: 'authorization_code' } as never
      ).save()
    )
  }

  return {
    port: (server.address() as AddressInfo).port,
    workload: {
      ...createRefreshWorkload('/token', tokens, 400),
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: `grant_type=refresh_token&client_id=${CLIENT}&refresh_token=$token`
    }
  }
}
