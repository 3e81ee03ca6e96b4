import type { NotBefore } from '../../domain/not-before.js'
import { UserSessions } from './user-sessions.js'

/** Records of one realm. */
export class Realm {
  readonly sessions = new UserSessions()
  readonly notBefores = new Map<string, NotBefore[]>()
  /** Not-before of all users. */
  notBefore: NotBefore | null = null

  getNotBefores (userId: string): NotBefore[] {
    const ofUser = this.notBefores.get(userId) ?? []
    return this.notBefore === null ? ofUser : [...ofUser, this.notBefore]
  }
}
