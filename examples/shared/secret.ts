/**
 * Secret of the examples: `AUTH_SECRET`, or a public value that is good for local trials only.
 *
 * In production, set `AUTH_SECRET` to the output of `openssl rand -base64 48`.
 */
export const secret = process.env.AUTH_SECRET ?? 'only-for-local-trials-Vq3xZ8nK1rT6wY0p'
