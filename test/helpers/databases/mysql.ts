import mysql from 'mysql2/promise'

export const mysqlUrl = process.env.MYSQL_URL ?? 'mysql://root@127.0.0.1:3306/test'

/**
 * Returns the reason to skip tests with MySQL or MariaDB, or `false` if the server is reachable.
 *
 * @throws Error in CI if the server is not reachable.
 */
export async function whyNoMysql (): Promise<string | false> {
  try {
    await (await mysql.createConnection(mysqlUrl)).end()
    return false
  } catch (cause) {
    const reason = `MySQL or MariaDB does not answer at ${
      new URL(mysqlUrl).host
    }: start one, or set MYSQL_URL`

    if (process.env.CI !== undefined) {
      throw new Error(reason, { cause })
    }

    return reason
  }
}
