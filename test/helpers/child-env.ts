// The environment of processes that tests start. They are transpiled by tsx, and tap would merge
// what they covered into its own figures by byte ranges of another transpiler: the sum is then
// anything between half and all of the truth, by chance.

/** @param more - variables beside those of this process. */
export function childEnv (more: Record<string, string> = {}): NodeJS.ProcessEnv {
  return { ...process.env, ...more, _TAPJS_PROCESSINFO_COVERAGE_: '0' }
}
