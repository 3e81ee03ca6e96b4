// The not-befores that revoke the session `s`. Reads only those from its authentication on, by
// primary key. A set operation stays a look-up per row, whatever the planner knows of the tables.
const notBefores = `
      SELECT u.at, u.reason, u.before FROM token_auth_user_not_befores u
      WHERE u.realm = s.realm AND u.user_id = s.user_id AND u.before >= s.authenticated_at
        AND u.keep <> s.id
      UNION ALL
      SELECT r.at, r.reason, r.before FROM token_auth_realm_not_befores r
      WHERE r.realm = s.realm AND r.before >= s.authenticated_at`

/** Condition: no not-before revokes the session `s`. */
export const hasNoNotBefore = `NOT EXISTS (${notBefores}
    )`

/** Latest `before` of the not-befores that revoke the session `s`. */
export const latestBefore = `(SELECT max(e.before) FROM (${notBefores}
    ) e)`

/** Join that adds `n.not_before_at` and `n.not_before_reason` to the session `s`. */
export const joinNotBefore = `LEFT JOIN LATERAL (
      SELECT e.at AS not_before_at, e.reason AS not_before_reason FROM (${notBefores}
      ) e ORDER BY e.at LIMIT 1
    ) n ON true`
