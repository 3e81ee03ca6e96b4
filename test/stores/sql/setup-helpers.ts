/** Expected members of a `StoreSetupError`, for `t.rejects`, whose type knows no such members. */
export function setupError (
  expected: { readonly problems: readonly string[], readonly fix?: string }
): Error {
  return { name: 'StoreSetupError', ...expected } as unknown as Error
}
