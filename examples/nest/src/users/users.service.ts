import { Injectable } from '@nestjs/common'

/** User as the app saves it. */
export interface User {
  readonly id: string
  readonly username: string
  readonly role: 'admin' | 'member'
  readonly passwordHash: string | null
}

/** Users in memory. Replace it with your repository. */
@Injectable()
export class UsersService {
  readonly #users = new Map<string, User>()

  findById (id: string): User | null {
    return this.#users.get(id) ?? null
  }

  findByLogin (username: string): User | null {
    return this.list().find(user => user.username === username) ?? null
  }

  list (): User[] {
    return [...this.#users.values()]
  }

  add (user: User): void {
    this.#users.set(user.id, user)
  }
}
