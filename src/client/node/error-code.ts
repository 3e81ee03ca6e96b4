/** Returns the code of an error of Node, such as `ENOENT`; an empty string if there is none. */
export function getErrorCode (error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}
