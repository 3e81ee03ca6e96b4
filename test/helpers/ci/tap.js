// Replaces `tap` in test files: typescript-hooks.js loads this file once for each of them. In a
// shared process, each test file gets a subtest of its own. Alone, it gets the root of tap.

import root from 'tap'
import { currentTest } from './current-test.js'
import { watchErrors } from './error-domain.js'

watchErrors(root)

export default currentTest() ?? root
