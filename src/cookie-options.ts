// How cookies are set that hold tokens, and whose pages may use them.

/**
 * The cookies of `transport: 'cookie'` and `'both'`: `__Host-{name}-refresh`, HttpOnly, forgotten when the browser is closed
 * unless the login says `remember_me`. Requests that they authenticate must come from a page of this origin
 * (`Sec-Fetch-Site`, or `Origin`) or of one in `origins`; others are 403. Who sends neither header, and so is no browser,
 * sends `X-Token-Transport: cookie`. Behind a proxy set Fastify's `trustProxy`.
 */
export interface CookieOptions {
  /**
   * The exact origins (scheme, host, port) of other pages that may log in, refresh and log out, such as
   * `https://app.example.org`. Their fetches need `credentials: 'include'`, CORS that allows the same, and, from another
   * site, `sameSite: 'none'`, which many browsers block as a third party's cookie.
   * @default []
   */
  readonly origins?: readonly string[]
  /**
   * The access token travels in a cookie too, `__Host-{name}-access`, and in no JSON: for pages that the server renders,
   * and for WebSockets. `app.authenticate` takes it where there is no bearer; unless the method is safe, under the same
   * rule for origins.
   * @default false
   */
  readonly accessToken?: boolean
  /**
   * For which requests from other sites the refresh cookie is sent. The access cookie is `lax`, so that a link from
   * elsewhere finds its reader signed in, unless this is `none`.
   * @default 'strict'
   */
  readonly sameSite?: 'strict' | 'lax' | 'none'
  /**
   * A narrower path for the refresh cookie, only where every host of the site is trusted: its name begins with `__Secure-`
   * then, another host may set one of the same name, and its visitors would act as somebody else.
   * @default '/'
   */
  readonly path?: string
  /**
   * `false` for trials over plain http on another host than localhost. Refused where NODE_ENV is `production`.
   * @default true
   */
  readonly secure?: boolean
  /**
   * A logout also tells the browser to forget all that it holds of this origin, and the cookies of the whole site
   * (`Clear-Site-Data`).
   * @default false
   */
  readonly clearSiteData?: boolean
}
