import mysql from 'mysql2/promise'

export const mysqlUrl = process.env.MYSQL_URL ?? 'mysql://root@127.0.0.1:3306/test'

/** Why tests that need MySQL or MariaDB are skipped; `false` where it answers. In CI it has to. */
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
