/**
 * Whether `NODE_ENV` is `production`, in any case.
 *
 * Ignores white space around it. On Windows, `set NODE_ENV=production && node server.js` adds a
 * space.
 */
export function isProduction (): boolean {
  return process.env['NODE_ENV']?.trim().toLowerCase() === 'production'
}
