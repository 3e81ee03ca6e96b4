/**
 * Returns the environment for a child process, without coverage.
 *
 * tsx compiles child processes, and esbuild compiles tests. tap would merge the byte ranges of both
 * and report a random coverage.
 *
 * @param more Variables to add to those of this process.
 */
export function createChildEnv (more: Record<string, string> = {}): NodeJS.ProcessEnv {
  return { ...process.env, ...more, _TAPJS_PROCESSINFO_COVERAGE_: '0' }
}
