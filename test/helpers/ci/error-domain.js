// Replaces `async-hook-domain`, with which tap finds the test of an error that nobody catches. That
// package tracks the creation and the end of every promise, which took a quarter of the CPU time of
// `npm test`. tap runs one test at a time here, so the running test is the test of the error.

/** Root of tap. */
let root

/** Callback of tap for the errors of one test. */
export class Domain {
  constructor (onerror) {
    this.onerror = onerror
  }

  destroy () {}
}

/** Reports errors that nobody catches to the running test. */
export function watchErrors (rootOfTap) {
  if (root !== undefined) {
    return
  }

  root = rootOfTap
  const { emit } = process
  process.on('uncaughtExceptionMonitor', (error, origin) => {
    if (report(error, origin)) {
      // Node ends the process unless a callback takes the error.
      process.setUncaughtExceptionCaptureCallback(() => {
        process.setUncaughtExceptionCaptureCallback(null)
      })
    }
  })

  // A listener would hide warnings from tests that listen themselves.
  process.emit = function (event, ...args) {
    return event === 'unhandledRejection' && process.listenerCount(event) === 0
      ? report(args[0], event)
      : emit.call(this, event, ...args)
  }
}

function report (error, origin) {
  const isHandled = process.hasUncaughtExceptionCaptureCallback() ||
    process.listenerCount('uncaughtException') > 0

  if (isHandled || root.results) {
    return false
  }

  findRunningTest(root).hookDomain.onerror(error, origin)
  return true
}

function findRunningTest (test) {
  const running = [...test.activeSubtests ?? []].at(-1)
  return running === undefined ? test : findRunningTest(running)
}
