/**
 * Reads the body of a response as UTF-8, and cancels it if it is too long.
 *
 * The decompressed bytes count, and `Content-Length` is not trusted.
 *
 * @param maxLength - Maximum length in bytes.
 * @throws RangeError if the body is longer.
 */
export async function readBody ({ body }: Response, maxLength: number): Promise<string> {
  const chunks: Uint8Array[] = []
  let length = 0

  // A loop that is left by an error cancels the stream, which closes the connection.
  for await (const chunk of body ?? []) {
    length += chunk.length

    if (length > maxLength) {
      throw new RangeError(`response is longer than ${maxLength / 1024} kB`)
    }

    chunks.push(chunk)
  }

  return new TextDecoder().decode(Buffer.concat(chunks))
}
