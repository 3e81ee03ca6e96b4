import { Window } from 'happy-dom'
import type { Document } from 'happy-dom'

/** Creates `window` and `document`. Call it before any module with a renderer loads. */
export function createDocument (t: { teardown(end: () => unknown): unknown }): Document {
  const window = new Window()
  const { document, navigator, Element, SVGElement } = window

  // Vue looks for `MathMLElement`, which happy-dom lacks.
  const globals = { window, document, navigator, Element, SVGElement, MathMLElement: SVGElement }

  // Node 22 has a `navigator` that cannot be assigned.
  for (const [name, value] of Object.entries(globals)) {
    const before = Object.getOwnPropertyDescriptor(globalThis, name) ?? { value: undefined }
    Object.defineProperty(globalThis, name, { value, configurable: true })
    t.teardown(() => Object.defineProperty(globalThis, name, before))
  }

  t.teardown(() => window.happyDOM.close())
  return document
}
