// React Native: the refresh token in the phone's keychain. Made to be copied. Typed by the part of `react-native-keychain` that
// is used, so that it is no dependency here:
//
//   import * as Keychain from 'react-native-keychain'
//   export const auth = createTokenService(Keychain, 'https://api.example.org')
//
// Which keychain class, and why:
// - iOS: kSecAttrAccessibleAfterFirstUnlockThisDeviceOnly. Readable while the phone is locked again, for refreshes in the
//   background; in no backup and on no other device. Not `WhenUnlocked`: reading fails then in the background. Items outlive the
//   app: a new install finds the session of the old one, unless it calls `logout` at its first start.
// - Android: a key of the Keystore, without a prompt (AES-GCM; EncryptedSharedPreferences does the same). Keep its file out of
//   backups (`android:dataExtractionRules`, and `android:fullBackupContent` up to Android 11): the key stays on the phone, so
//   that what is restored on another one cannot be read.
// - Not AsyncStorage, MMKV or a file: they are neither encrypted nor kept out of backups.
//
// React Native's own URL is incomplete: import 'react-native-url-polyfill/auto' first. Its fetch follows redirects whatever it is
// told, so that the server must redirect none of the routes below /auth.

import { createAuthClient } from 'fastify-token-auth/client'
import type { AuthClient, TokenStorage } from 'fastify-token-auth/client'

interface Place {
  readonly service: string
}

export interface KeychainLike<Accessible, Storage> {
  readonly ACCESSIBLE: { readonly AFTER_FIRST_UNLOCK_THIS_DEVICE_ONLY: Accessible }
  readonly STORAGE_TYPE: { readonly AES_GCM_NO_AUTH: Storage }
  getGenericPassword(place: Place): Promise<false | { readonly password: string }>
  setGenericPassword(
    username: string,
    password: string,
    options: Place & {
      readonly accessible: Accessible
      readonly storage: Storage
    }
  ): Promise<unknown>
  resetGenericPassword(place: Place): Promise<unknown>
}

/** @param service The name of the item: another one for each server. */
export function keychainStorage<Accessible, Storage> (
  keychain: KeychainLike<Accessible, Storage>,
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

      // The client uses no token before it is kept, so it must hear where it is not.
      if (result === false) {
        throw new Error('not stored')
      }
    },
    remove: () => keychain.resetGenericPassword({ service })
  }
}

/** One for the whole app, made where it starts. */
export function createTokenService<Accessible, Storage> (
  keychain: KeychainLike<Accessible, Storage>,
  baseUrl: string
): AuthClient {
  return createAuthClient({ baseUrl, storage: keychainStorage(keychain, baseUrl) })
}
