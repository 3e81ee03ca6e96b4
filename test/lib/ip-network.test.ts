import t from 'tap'
import { getNetwork, getSite, normalizeAddress } from '../../src/lib/ip-network.js'

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

t.test('a port and brackets do not change an address', async t => {
  const spellings: Readonly<Record<string, readonly string[]>> = {
    '192.0.2.7': ['192.0.2.7', '192.0.2.7:5678', '::ffff:192.0.2.7', '[::ffff:c000:207]:443'],
    '2001:db8::1': [
      '2001:db8::1',
      '2001:DB8:0:0::1',
      '[2001:db8::1]',
      '[2001:db8::1]:443',
      '[2001:0DB8::0001%eth0]:443'
    ],
    '::1': ['::1', '0:0:0:0:0:0:0:1', '[::1]:80']
  }

  for (const [address, others] of Object.entries(spellings)) {
    for (const text of others) {
      t.equal(normalizeAddress(text), address, text)
      t.equal(getNetwork(text), getNetwork(address), text)
      t.equal(getSite(text), getSite(address), text)
    }
  }
})

t.test('a value that is no address stays unchanged', async t => {
  for (const text of ['', 'Unknown', '_hidden', '[unknown]:1', '1:2:3', '192.0.2.7:port', ':']) {
    t.equal(normalizeAddress(text), text)
  }
})

t.test('a site is an IPv4 /24 or an IPv6 /48', async t => {
  t.equal(getSite('192.0.2.7'), '192.0.2.0/24')
  t.equal(getSite('192.0.2.200:5678'), '192.0.2.0/24')
  t.equal(getSite('2001:db8:7:1::1'), '2001:db8:7::/48')
  t.equal(getSite('2001:db8:7:ffff::'), '2001:db8:7::/48')
  t.equal(getSite('Unknown'), 'unknown')
  t.equal(getSite('999.1.1.1'), '999.1.1.1')
})
