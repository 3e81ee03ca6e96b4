import t from 'tap'
import { getNetwork } from '../../src/lib/ip-network.js'

t.test('an IPv4 address is its own network in every spelling', async t => {
  for (
    const text of [
      '192.0.2.7',
      '::ffff:192.0.2.7',
      '::FFFF:192.0.2.7',
      '::ffff:c000:207',
      '0:0:0:0:0:ffff:192.0.2.7'
    ]
  ) {
    t.equal(getNetwork(text), '192.0.2.7', text)
  }
})

t.test('an IPv6 address belongs to its first 64 bits in every spelling', async t => {
  const same = [
    '2001:db8:0:7::1',
    '2001:DB8:0:7::2',
    '2001:0db8:0000:0007:0:0:0:1',
    '2001:db8:0:7:ffff:ffff:ffff:ffff',
    '2001:db8:0:7::192.0.2.1',
    '2001:db8:0:7::1%eth0'
  ]

  for (const text of same) {
    t.equal(getNetwork(text), '2001:db8:0:7::/64', text)
  }

  t.equal(getNetwork('::1'), '0:0:0:0::/64')
  t.equal(getNetwork('::'), '0:0:0:0::/64')
  t.equal(getNetwork('1::'), '1:0:0:0::/64')
  t.equal(getNetwork('2001:db8:0:8::1'), '2001:db8:0:8::/64')
})

t.test('a malformed address is its own network', async t => {
  for (
    const text of [
      '',
      'unknown',
      ':::',
      '1:2:3',
      '1::2::3',
      '1:2:3:4:5:6:7:8:9',
      'g::1',
      '12345::',
      '::1.2.3',
      '::1.2.3.400000000',
      '::1.2.3.4.5'
    ]
  ) {
    t.equal(getNetwork(text), text, text)
  }
})
