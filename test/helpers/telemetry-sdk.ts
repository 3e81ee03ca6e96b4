import { AsyncLocalStorage } from 'node:async_hooks'
import { context, metrics, ROOT_CONTEXT, trace } from '@opentelemetry/api'
import type { Context, ContextManager, Span } from '@opentelemetry/api'
import {
  AggregationTemporality,
  DataPointType,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader
} from '@opentelemetry/sdk-metrics'
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace'
import type { ReadableSpan } from '@opentelemetry/sdk-trace'
import type { FastifyInstance } from 'fastify'
import { HOUR } from './clock.js'

/** OpenTelemetry SDK of an app, which exports to memory. */
export interface TelemetrySdk {
  /** Returns counts and values by name and attributes. A histogram returns its count. */
  readMetrics(): Promise<Record<string, number>>
  /** Returns the last exported metrics as JSON. */
  stringifyMetrics(): string
  readSpans(): ReadableSpan[]
}

/** Starts the SDK for this process. */
export function startTelemetrySdk (
  t: { teardown(callback: () => unknown): unknown }
): TelemetrySdk {
  context.setGlobalContextManager(createContextManager())
  const spanExporter = new InMemorySpanExporter()
  trace.setGlobalTracerProvider(
    new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter: spanExporter })] })
  )
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
  const meterProvider = new MeterProvider({
    readers: [new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: HOUR })]
  })
  metrics.setGlobalMeterProvider(meterProvider)
  t.teardown(() => meterProvider.shutdown())
  const readLast = () =>
    exporter.getMetrics().at(-1)?.scopeMetrics.flatMap(scope => scope.metrics) ?? []

  return {
    async readMetrics () {
      await meterProvider.forceFlush()
      const values: Record<string, number> = {}

      for (const { descriptor, dataPointType, dataPoints } of readLast()) {
        for (const { attributes, value } of dataPoints) {
          const labels = Object.entries(attributes).map(([key, value]) => `${key}=${String(value)}`)
            .join()
          values[descriptor.name + (labels === '' ? '' : `{${labels}}`)] =
            dataPointType === DataPointType.HISTOGRAM
              ? (value as { count: number }).count
              : value as number
        }
      }

      return values
    },
    stringifyMetrics: () => JSON.stringify(readLast()),
    readSpans: () => spanExporter.getFinishedSpans()
  }
}

/** Creates a span for each request, as `@fastify/otel` or the instrumentation of `http` does. */
export function traceRequests (app: FastifyInstance): void {
  const spans = new WeakMap<object, Span>()
  app.addHook('onRequest', (request, _reply, done) => {
    const span = trace.getTracer('http').startSpan(`${request.method} ${request.url}`)
    spans.set(request, span)
    context.with(trace.setSpan(context.active(), span), done)
  })
  app.addHook('onResponse', async request => {
    spans.get(request)?.end()
  })
}

/** Replaces the package `@opentelemetry/context-async-hooks`. */
function createContextManager (): ContextManager {
  const storage = new AsyncLocalStorage<Context>()
  const manager: ContextManager = {
    active: () => storage.getStore() ?? ROOT_CONTEXT,
    with: (active, run, self, ...args) =>
      storage.run(active, () => run.call(self as ThisParameterType<typeof run>, ...args)),
    bind: (_active, target) => target,
    enable: () => manager,
    disable: () => manager
  }
  return manager
}
