import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { build } from 'esbuild'
import type { Document, HTMLElement } from 'happy-dom'
import type { ReactNode } from 'react'
import type { Root } from 'react-dom/client'
import { root } from './consumer.js'

/** Supported versions of React, with the names of their packages in node_modules. */
export const reactVersions = [
  { version: 18, alias: {} },
  { version: 19, alias: { react: 'react-19', 'react-dom': 'react-dom-19' } }
] as const

/** React and the hooks of the package, which use that version of React. */
export type ReactModules =
  & typeof import('../../src/client/react/index.js')
  & Pick<typeof import('react-dom/client'), 'createRoot' | 'hydrateRoot'>
  & Pick<typeof import('react-dom/server'), 'renderToString'>
  & { readonly React: typeof import('react') }

/** Page without a browser, in which React renders. */
export interface ReactPage {
  readonly container: HTMLElement
  /** Content of the page, without markup. */
  readonly text: string
  readonly errors: readonly unknown[]
  render(node: ReactNode): Promise<void>
  /** Continues with markup of a server. */
  hydrate(html: string, node: ReactNode): Promise<void>
  unmount(): Promise<void>
}

interface TestScope {
  teardown(end: () => unknown): unknown
  testdir(files: Record<string, string>): string
}

// `act` of React opens a channel for each call and never closes it, so the process would not end.
const messageChannel = `
  class MessageChannel {
    port1 = {}
    port2 = { postMessage: () => { setImmediate(() => this.port1.onmessage()) } }
  }`

/**
 * Bundles the hooks of the package with one version of React, and loads the result.
 *
 * @param source Further exports of the bundle.
 */
export async function loadReact<Modules = ReactModules> (
  t: TestScope,
  { version, alias }: (typeof reactVersions)[number],
  source = ''
): Promise<ReactModules & Modules> {
  const { outputFiles: [file] } = await build({
    stdin: {
      contents: `
        export * as React from 'react'
        export { createRoot, hydrateRoot } from 'react-dom/client'
        export { renderToString } from 'react-dom/server'
        export * from 'fastify-token-auth/client/react'
        ${source}`,
      resolveDir: root
    },
    alias: {
      ...alias,
      'fastify-token-auth/client/react': join(root, 'src/client/react/index.ts'),
      'fastify-token-auth/client': join(root, 'src/client/index.ts')
    },
    banner: { js: messageChannel },
    bundle: true,
    format: 'cjs',
    platform: 'node',
    jsx: 'automatic',
    define: { 'process.env.NODE_ENV': '"development"' },
    write: false
  })
  const name = `react-${version}.cjs`
  const folder = t.testdir({ [name]: file?.text ?? '' })
  const { default: modules } = await import(pathToFileURL(join(folder, name)).href) as {
    default: ReactModules & Modules
  }
  return modules
}

/** Opens an empty page. Warnings of React and errors of components are in `errors`. */
export function createPage (
  t: Pick<TestScope, 'teardown'>,
  document: Document,
  { React, createRoot, hydrateRoot }: ReactModules
): ReactPage {
  Object.assign(globalThis, { IS_REACT_ACT_ENVIRONMENT: true })
  const container = document.createElement('div')
  const errors: unknown[] = []
  const { error } = console
  let reactRoot: Root | undefined
  const options = {
    onRecoverableError: (error: unknown) => {
      errors.push(error)
    }
  }

  console.error = (...values: unknown[]) => {
    errors.push(values.map(String).join(' '))
  }

  const page: ReactPage = {
    container,
    errors,
    get text () {
      return container.textContent
    },
    render: node =>
      React.act(async () => {
        reactRoot ??= createRoot(container, options)
        reactRoot.render(node)
      }),
    hydrate: (html, node) =>
      React.act(async () => {
        container.innerHTML = html
        reactRoot = hydrateRoot(container, node, options)
      }),
    unmount: () =>
      React.act(async () => {
        reactRoot?.unmount()
        reactRoot = undefined
      })
  }
  t.teardown(async () => {
    await page.unmount()
    console.error = error
  })
  return page
}
