import t from 'tap'
import { findingIds } from '../../src/cli/doctor/findings.js'
import { credentials, deploy } from '../helpers/deployment.js'
import { faultyDeployments } from './faulty-deployments.js'

for (const { id, title, deployment, args = [], url, env, now } of faultyDeployments) {
  t.test(`doctor reports only ${id} for ${title}`, async t => {
    const { doctor } = await deploy(t, deployment)
    const result = await doctor([...args, '--json'], {
      ...(url !== undefined && { url }),
      ...(env !== undefined && { env }),
      ...(now !== undefined && { now })
    })
    const { findings = [], error = null } = result.json()
    t.equal(error, null)
    t.strictSame(findings.map((finding: { id: string }) => finding.id), [id], result.out)
    t.equal(result.code, 1)
    t.notMatch(result.out, credentials.FTA_PASSWORD)

    for (const member of ['problem', 'consequence', 'fix']) {
      t.match(findings[0]?.[member], /^[A-Z][^]+\.$/)
    }
  })
}

t.test('every finding has a test', async t => {
  t.strictSame(findingIds.filter(id => !faultyDeployments.some(item => item.id === id)), [])
})
