// The not-befores that end the session `s`. Reads only those from its authentication on, by primary
// key. A set operation stays a look-up per row, whatever the planner knows about the tables.
const endings = `
      SELECT u.at, u.reason, u.before FROM token_auth_user_not_befores u
      WHERE u.realm = s.realm AND u.user_id = s.user_id AND u.before >= s.authenticated_at
        AND u.keep <> s.id
      UNION ALL
      SELECT r.at, r.reason, r.before FROM token_auth_realm_not_befores r
      WHERE r.realm = s.realm AND r.before >= s.authenticated_at`

/** Condition: no not-before ends the session `s`. */
export const isNotEnded = `NOT EXISTS (${endings}
    )`

/** Latest `before` of the not-befores that end the session `s`. */
export const latestBefore = `(SELECT max(e.before) FROM (${endings}
    ) e)`

/** Join that adds `ended.ended_at` and `ended.ended_for` to the session `s`. */
export const joinEnding = `LEFT JOIN LATERAL (
      SELECT e.at AS ended_at, e.reason AS ended_for FROM (${endings}
      ) e ORDER BY e.at LIMIT 1
    ) ended ON true`
