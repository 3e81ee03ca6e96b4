import type { RouteDoc } from '../http/openapi.js'
import type { AccountRouteName, ErrorCode } from '../protocol.js'

const MESSAGE_ERRORS: readonly ErrorCode[] = [
  'AUTH_REQUEST_INVALID',
  'AUTH_TOO_MANY_ATTEMPTS',
  'AUTH_STORE_UNAVAILABLE'
]

const TOKEN_ERRORS: readonly ErrorCode[] = [
  'AUTH_REQUEST_INVALID',
  'AUTH_ONE_TIME_INVALID',
  'AUTH_ONE_TIME_EXPIRED',
  'AUTH_ONE_TIME_USED',
  'AUTH_STORE_UNAVAILABLE'
]

const SAME_FOR_ALL = 'The response is the same for unknown addresses.'

/** Documentation of the routes of `accountFlows`. */
export const accountDocs: Readonly<Record<AccountRouteName, RouteDoc>> = {
  emailVerification: {
    id: 'SendEmailVerification',
    summary: 'Send the link that verifies the address of the user',
    access: 'token',
    limitsItself: true,
    errors: ['AUTH_ORIGIN_REJECTED', 'AUTH_TOO_MANY_ATTEMPTS']
  },
  verifyEmail: {
    id: 'VerifyEmail',
    summary: 'Verify an address by the token of a link',
    access: 'public',
    errors: TOKEN_ERRORS
  },
  forgotPassword: {
    id: 'ForgotPassword',
    summary: 'Send the link to set a new password',
    description: SAME_FOR_ALL,
    access: 'public',
    limitsItself: true,
    errors: MESSAGE_ERRORS
  },
  resetPassword: {
    id: 'ResetPassword',
    summary: 'Set a new password by the token of a link',
    description: 'Revokes all sessions of the user.',
    access: 'public',
    limitsItself: true,
    errors: [...TOKEN_ERRORS, 'AUTH_PASSWORD_REJECTED', 'AUTH_TOO_MANY_ATTEMPTS', 'AUTH_BUSY']
  },
  changePassword: {
    id: 'ChangePassword',
    summary: 'Change the password of the user',
    description: 'Revokes all sessions of the user except this one.',
    access: 'token',
    errors: [
      'AUTH_PASSWORD_REJECTED',
      'AUTH_CREDENTIALS_REJECTED',
      'AUTH_ORIGIN_REJECTED',
      'AUTH_TOO_MANY_ATTEMPTS',
      'AUTH_BUSY'
    ]
  },
  signInLink: {
    id: 'SendSignInLink',
    summary: 'Send a link that signs the user in',
    description: SAME_FOR_ALL,
    access: 'public',
    limitsItself: true,
    errors: MESSAGE_ERRORS
  },
  signInCode: {
    id: 'SendSignInCode',
    summary: 'Send a code that signs the user in',
    description: SAME_FOR_ALL,
    access: 'public',
    limitsItself: true,
    errors: MESSAGE_ERRORS
  },
  redeemSignIn: {
    id: 'RedeemSignIn',
    summary: 'Log in with a link or a code',
    description: 'Requires `token`, or `challenge`, `email` and `code`.',
    access: 'public',
    limitsItself: true,
    sendsTokens: true,
    errors: [
      ...TOKEN_ERRORS,
      'AUTH_SECOND_FACTOR_REQUIRED',
      'AUTH_DPOP_INVALID',
      'AUTH_DPOP_NONCE',
      'AUTH_ORIGIN_REJECTED',
      'AUTH_TOO_MANY_ATTEMPTS'
    ]
  },
  secondFactor: {
    id: 'SecondFactor',
    summary: 'Complete a login with a second factor',
    description: 'Requires the `ticket` of the first response.',
    access: 'public',
    namesClient: true,
    limitsItself: true,
    sendsTokens: true,
    errors: [
      ...TOKEN_ERRORS,
      'AUTH_SECOND_FACTOR_REJECTED',
      'AUTH_CLIENT_REJECTED',
      'AUTH_DPOP_INVALID',
      'AUTH_DPOP_NONCE',
      'AUTH_ORIGIN_REJECTED',
      'AUTH_TOO_MANY_ATTEMPTS'
    ]
  }
}
