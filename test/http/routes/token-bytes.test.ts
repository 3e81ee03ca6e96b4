import t from 'tap'
import type { Session, TokenAuthOptions } from '../../../src/index.js'
import { createTestApp, PASSWORD_HASH, REALM } from '../../helpers/app.js'
import { DAY, MINUTE } from '../../helpers/clock.js'

const START = Date.UTC(2026, 0, 1)

// Tokens of an earlier release. A change of one byte would sign out every user at the next update.
const ACCESS_HEADER = 'eyJhbGciOiJIUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6IlB0Y0M0TlZ2VmctcSJ9'
const REFRESH_HEADER = 'eyJhbGciOiJIUzI1NiIsInR5cCI6InJ0K2p3dCIsImtpZCI6InhDM04tMXRmeDVQTyJ9'

interface Fixture {
  readonly options: Partial<TokenAuthOptions>
  readonly session: Session
  readonly access: readonly [first: string, second: string]
  readonly refresh: readonly [first: string, second: string]
}

function createSession (id: string, secretHash: string): Session {
  const caller = { address: '127.0.0.1', userAgent: 'lightMyRequest' }

  return {
    id,
    realm: REALM,
    userId: 'u-ann',
    secretHash,
    generation: 0,
    confirmedGeneration: 0,
    createdAt: START,
    authenticatedAt: START,
    rotatedAt: START,
    rotatedBy: caller,
    graceFrom: START,
    lastUsedAt: START,
    expiresAt: START + 7 * DAY,
    endsAt: START + 30 * DAY,
    revokedAt: null,
    revokedFor: null,
    device: { label: null, ...caller },
    replayRun: { generation: 0, length: 0 }
  }
}

const user = { id: 'u-ann', username: 'ann', passwordHash: PASSWORD_HASH }

const fixtures: Readonly<Record<string, Fixture>> = {
  'default options': {
    options: {},
    session: createSession(
      'sO6RTmFeyreFjaVTvRTuYyg',
      'uM9YpPJ4wrZcfQu_jFcuxAW3AcYTgiVVTqHyymOD6Uo'
    ),
    access: [
      `${ACCESS_HEADER}.eyJzdWIiOiJ1LWFubiIsInNpZCI6InNPNlJUbUZleXJlRmphVlR2UlR1WXln` +
      'IiwiZ2VuIjowLCJ0eXBlIjoiYWNjZXNzIiwiYXV0aF90aW1lIjoxNzY3MjI1NjAwLCJhbXIiOlsicHdk' +
      'Il0sImlhdCI6MTc2NzIyNTYwMCwiZXhwIjoxNzY3MjI2NTAwfQ' +
      '.jxZFiXRvupGlCUqmpLFIBr60JWjWBNYwJ6f9uSEGTO0',
      `${ACCESS_HEADER}.eyJzdWIiOiJ1LWFubiIsInNpZCI6InNPNlJUbUZleXJlRmphVlR2UlR1WXln` +
      'IiwiZ2VuIjoxLCJ0eXBlIjoiYWNjZXNzIiwiYXV0aF90aW1lIjoxNzY3MjI1NjAwLCJhbXIiOlsicHdk' +
      'Il0sImlhdCI6MTc2NzIyNTY2MCwiZXhwIjoxNzY3MjI2NTYwfQ' +
      '.xoLa_8CAqXrj831NuOOAMuWY8dQ4cmbFvv-jVBSkySw'
    ],
    refresh: [
      `${REFRESH_HEADER}.eyJzdWIiOiJ1LWFubiIsInNpZCI6InNPNlJUbUZleXJlRmphVlR2UlR1WXln` +
      'Iiwic2VjcmV0IjoiUHNZNUMxRlVLbE5UanNTVHJLWTc0b2xaTDVtclh5dUpNNy1JX0s3VXNMRSIsInR5' +
      'cGUiOiJyZWZyZXNoIiwiYW1yIjpbInB3ZCJdLCJnZW4iOjAsImlhdCI6MTc2NzIyNTYwMCwiZXhwIjox' +
      'NzY3ODMwNDAwfQ' +
      '.HQAmPbCtzQVqoA-ofNybxaVftTPjGqiwe8_BGlJYHyw',
      `${REFRESH_HEADER}.eyJzdWIiOiJ1LWFubiIsInNpZCI6InNPNlJUbUZleXJlRmphVlR2UlR1WXln` +
      'Iiwic2VjcmV0IjoiUHNZNUMxRlVLbE5UanNTVHJLWTc0b2xaTDVtclh5dUpNNy1JX0s3VXNMRSIsInR5' +
      'cGUiOiJyZWZyZXNoIiwiYW1yIjpbInB3ZCJdLCJnZW4iOjEsImlhdCI6MTc2NzIyNTY2MCwiZXhwIjox' +
      'NzY3ODMwNDYwfQ' +
      '.SUuVo3DcWSoIKED3gLJWeWiDGelrkKFZWaGIeW4d1ow'
    ]
  },
  'issuer, audience, claims and remember_me': {
    options: {
      issuer: 'https://auth.example.org',
      audience: 'api',
      users: {
        findByLogin: () => user,
        findById: () => user,
        claims: () => ({ role: 'admin' })
      }
    },
    session: createSession(
      'snHAqb-Ndyf9mTgQO9s361w',
      'SjiQ7jXyuiivCdz_2bXb0BnS1Qu1jzSpsXdmA5OTbaQ'
    ),
    access: [
      `${ACCESS_HEADER}.eyJyb2xlIjoiYWRtaW4iLCJpc3MiOiJodHRwczovL2F1dGguZXhhbXBsZS5v` +
      'cmciLCJhdWQiOiJhcGkiLCJzdWIiOiJ1LWFubiIsInNpZCI6InNuSEFxYi1OZHlmOW1UZ1FPOXMzNjF3' +
      'IiwiZ2VuIjowLCJ0eXBlIjoiYWNjZXNzIiwicGVyc2lzdGVudCI6dHJ1ZSwiYXV0aF90aW1lIjoxNzY3' +
      'MjI1NjAwLCJhbXIiOlsicHdkIl0sImlhdCI6MTc2NzIyNTYwMCwiZXhwIjoxNzY3MjI2NTAwfQ' +
      '.XehE6SfICyxpfCxe9Ltrf2HIaDzH0in28j-SeCZiybY',
      `${ACCESS_HEADER}.eyJyb2xlIjoiYWRtaW4iLCJpc3MiOiJodHRwczovL2F1dGguZXhhbXBsZS5v` +
      'cmciLCJhdWQiOiJhcGkiLCJzdWIiOiJ1LWFubiIsInNpZCI6InNuSEFxYi1OZHlmOW1UZ1FPOXMzNjF3' +
      'IiwiZ2VuIjoxLCJ0eXBlIjoiYWNjZXNzIiwicGVyc2lzdGVudCI6dHJ1ZSwiYXV0aF90aW1lIjoxNzY3' +
      'MjI1NjAwLCJhbXIiOlsicHdkIl0sImlhdCI6MTc2NzIyNTY2MCwiZXhwIjoxNzY3MjI2NTYwfQ' +
      '.jl0KMtJk7lnol_LYRcjxUjkrcgmZITL5571yiD74etQ'
    ],
    refresh: [
      `${REFRESH_HEADER}.eyJzdWIiOiJ1LWFubiIsInNpZCI6InNuSEFxYi1OZHlmOW1UZ1FPOXMzNjF3` +
      'Iiwic2VjcmV0IjoicDRONkNNZERDSm5neV90M2pCd3UyNUd1dl9MV25YR2Jaa2J3ZEtmWHZ0dyIsInR5' +
      'cGUiOiJyZWZyZXNoIiwicGVyc2lzdGVudCI6dHJ1ZSwiYW1yIjpbInB3ZCJdLCJnZW4iOjAsImlhdCI6' +
      'MTc2NzIyNTYwMCwiZXhwIjoxNzY3ODMwNDAwfQ' +
      '.mgId9JP0QuYFmCFd-wyFJGae0ebAUksIvbhuY4L2igo',
      `${REFRESH_HEADER}.eyJzdWIiOiJ1LWFubiIsInNpZCI6InNuSEFxYi1OZHlmOW1UZ1FPOXMzNjF3` +
      'Iiwic2VjcmV0IjoicDRONkNNZERDSm5neV90M2pCd3UyNUd1dl9MV25YR2Jaa2J3ZEtmWHZ0dyIsInR5' +
      'cGUiOiJyZWZyZXNoIiwicGVyc2lzdGVudCI6dHJ1ZSwiYW1yIjpbInB3ZCJdLCJnZW4iOjEsImlhdCI6' +
      'MTc2NzIyNTY2MCwiZXhwIjoxNzY3ODMwNDYwfQ' +
      '._eSocAGS6Y7lCHVlP_ye5w4KN6e1l7ejtg7blBD19P8'
    ]
  }
}

for (const [name, { options, session, access, refresh }] of Object.entries(fixtures)) {
  t.test(`tokens of an earlier release stay valid and keep their bytes: ${name}`, async t => {
    const test = await createTestApp({ options })
    t.teardown(() => test.app.close())
    await test.store.create(session)
    const { statusCode } = await test.get('/protected', access[0])
    t.equal(statusCode, 200)
    test.clock.advance(MINUTE)
    const response = await test.refresh(refresh[0])
    t.match(response.json(), { access_token: access[1], refresh_token: refresh[1] })
    t.equal((await test.get('/protected', access[1])).statusCode, 200)
  })
}
