/** Creates the error for a wrong option or argument. Its message names the package. */
export function createTypeError (message: string, options?: ErrorOptions): TypeError {
  return new TypeError(`fastify-token-auth: ${message}`, options)
}
