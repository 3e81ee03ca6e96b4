/**
 * Whether `NODE_ENV` is `production`, in any case.
 *
 * Ignores white space around it. `set NODE_ENV=production && node server.js` of Windows adds a
 * space.
 */
export function isProduction (): boolean {
  return process.env['NODE_ENV']?.trim().toLowerCase() === 'production'
}
