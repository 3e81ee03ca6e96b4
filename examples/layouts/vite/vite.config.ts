// The page and the API have one origin, so cookies and the origin check work without CORS.
const target = process.env.API_URL ?? 'http://127.0.0.1:3000'

export default {
  server: {
    proxy: {
      // With a string as value, Vite changes the `Host` of the request. Over http to another host
      // than localhost, browsers send no `Sec-Fetch-Site`. The origin check then compares `Origin`
      // with `Host`.
      '/auth': { target, changeOrigin: false },
      '/api': { target, changeOrigin: false }
    }
  }
}
