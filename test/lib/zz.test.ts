import t from 'tap'
t.test('x', async t => {
  t.ok(true)
  console.error(process.execArgv, process.argv)
})
