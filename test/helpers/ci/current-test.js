let current

/** Returns the subtest of the test file that loads now, or `undefined` in a process of its own. */
export function currentTest () {
  return current
}

/** Sets the subtest of the test file that loads next. */
export function setCurrentTest (test) {
  current = test
}
