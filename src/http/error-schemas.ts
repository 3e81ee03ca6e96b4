/** JSON Schema of an error. */
export const errorBody = {
  type: 'object',
  required: ['statusCode', 'error', 'message'],
  properties: {
    statusCode: { type: 'integer' },
    code: { type: 'string' },
    error: { type: 'string' },
    message: { type: 'string' }
  }
}

/** JSON Schema of an error that may ask for a second factor. */
export const challengeBody = {
  ...errorBody,
  properties: {
    ...errorBody.properties,
    ticket: { type: 'string', description: 'Proves the first factor at the next request.' },
    methods: {
      type: 'array',
      items: { type: 'string' },
      description: 'Methods of the second factor, if one is required.'
    }
  }
}
