import { createAuthClient } from 'fastify-token-auth/client'
import type { AuthClient, TokenStorage } from 'fastify-token-auth/client'

interface KeychainItem {
  readonly service: string
}

/** The part of `react-native-keychain` that {@link createKeychainStorage} uses. */
export interface Keychain<Accessible, Storage> {
  readonly ACCESSIBLE: { readonly AFTER_FIRST_UNLOCK_THIS_DEVICE_ONLY: Accessible }
  readonly STORAGE_TYPE: { readonly AES_GCM_NO_AUTH: Storage }
  getGenericPassword(item: KeychainItem): Promise<false | { readonly password: string }>
  setGenericPassword(
    username: string,
    password: string,
    options: KeychainItem & {
      readonly accessible: Accessible
      readonly storage: Storage
    }
  ): Promise<unknown>
  resetGenericPassword(item: KeychainItem): Promise<unknown>
}

/**
 * Stores the refresh token in the keychain of the phone.
 *
 * - iOS: the item is readable while the phone is locked again, because refreshes in the background
 *   need it. It is in no backup and on no other device. `WhenUnlocked` would fail in the
 *   background. Items remain when the app is deleted: a new installation finds the old session,
 *   unless it calls `logout` at its first start.
 * - Android: a key of the Keystore encrypts the item, without a prompt. Exclude its file from
 *   backups with `android:dataExtractionRules` and, up to Android 11, `android:fullBackupContent`.
 *   The key stays on the phone, so that another phone cannot read a restored item.
 *
 * AsyncStorage, MMKV and files are not safe: they are not encrypted, and backups contain them.
 *
 * @param service Name of the item. Use one name per server.
 */
export function createKeychainStorage<Accessible, Storage> (
  keychain: Keychain<Accessible, Storage>,
  service: string
): TokenStorage {
  const accessible = keychain.ACCESSIBLE.AFTER_FIRST_UNLOCK_THIS_DEVICE_ONLY
  const storage = keychain.STORAGE_TYPE.AES_GCM_NO_AUTH

  return {
    async get () {
      const item = await keychain.getGenericPassword({ service })
      return item === false ? null : item.password
    },
    async set (value) {
      const result = await keychain.setGenericPassword('refresh', value, {
        service,
        accessible,
        storage
      })

      // The client uses a token only after it was saved, so that a failure must reject.
      if (result === false) {
        throw new Error('keychain did not save the refresh token')
      }
    },
    remove: () => keychain.resetGenericPassword({ service })
  }
}

/**
 * Creates the client of a React Native app. Call it once, when the app starts.
 *
 * React Native's own `URL` is incomplete: import `react-native-url-polyfill/auto` first. Its
 * `fetch` always follows redirects, so the server must not redirect a route below `/auth`.
 *
 * @example
 * ```ts
 * import * as Keychain from 'react-native-keychain'
 *
 * export const auth = createMobileAuthClient(Keychain, 'https://api.example.org')
 * ```
 */
export function createMobileAuthClient<Accessible, Storage> (
  keychain: Keychain<Accessible, Storage>,
  baseUrl: string
): AuthClient {
  return createAuthClient({ baseUrl, storage: createKeychainStorage(keychain, baseUrl) })
}
