import { createServer, type Server } from 'node:http';
import type { Registry } from 'prom-client';

/** What a dependency's absence means: `waiting` stops work that needs it, `degraded` goes on with less. */
export interface DependencyState {
  readonly state: 'waiting' | 'degraded';
  readonly detail: string;
  readonly since: number;
}

/**
 * Liveness, readiness and metrics over HTTP: GET /healthz, /readyz, /metrics.
 * Readiness names each dependency that is missed and since when; degraded is ready.
 */
export class Health {
  private readonly missing = new Map<string, DependencyState>();
  /** Milliseconds of absences that are over, by dependency and state. */
  private readonly past = new Map<string, Record<DependencyState['state'], number>>();
  private started = false;
  private server: Server | null = null;

  waiting(dependency: string, detail: string): void {
    this.note(dependency, 'waiting', detail);
  }

  degraded(dependency: string, detail: string): void {
    this.note(dependency, 'degraded', detail);
  }

  recovered(dependency: string): void {
    this.over(dependency);
    this.missing.delete(dependency);
  }

  /** How long each dependency has been missed so far, the present absence included, in seconds. */
  get absences(): readonly {
    readonly dependency: string;
    readonly state: DependencyState['state'];
    readonly seconds: number;
  }[] {
    return [...new Set([...this.past.keys(), ...this.missing.keys()])].flatMap((dependency) =>
      (['waiting', 'degraded'] as const).map((state) => {
        const now = this.missing.get(dependency);
        const present = now?.state === state ? Date.now() - now.since : 0;
        const before = this.past.get(dependency)?.[state] ?? 0;
        return { dependency, state, seconds: (before + present) / 1_000 };
      }),
    );
  }

  ready(): void {
    this.started = true;
  }

  get report(): {
    readonly status: 'ready' | 'degraded' | 'waiting' | 'starting';
    readonly missing: Record<string, DependencyState>;
  } {
    const states = [...this.missing.values()];
    const status = states.some(({ state }) => state === 'waiting')
      ? 'waiting'
      : !this.started
        ? 'starting'
        : states.length > 0
          ? 'degraded'
          : 'ready';
    return { status, missing: Object.fromEntries(this.missing) };
  }

  /** Resolves with the port once it listens; 0 asks for any. */
  listen(port: number, registry: Registry): Promise<number> {
    const server = createServer((request, response) => {
      void this.answer(request.url ?? '/', registry).then(({ code, type, body }) => {
        response.writeHead(code, { 'content-type': type }).end(body);
      });
    });
    this.server = server;
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, '0.0.0.0', () => {
        const address = server.address();
        resolve(typeof address === 'object' && address !== null ? address.port : port);
      });
    });
  }

  async close(): Promise<void> {
    const { server } = this;
    if (server === null) return;
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }

  private note(dependency: string, state: DependencyState['state'], detail: string): void {
    const present = this.missing.get(dependency);
    if (present !== undefined && present.state !== state) this.over(dependency);
    const since = present?.state === state ? present.since : Date.now();
    this.missing.set(dependency, { state, detail, since });
  }

  private over(dependency: string): void {
    const present = this.missing.get(dependency);
    if (present === undefined) return;
    const past = this.past.get(dependency) ?? { waiting: 0, degraded: 0 };
    past[present.state] += Date.now() - present.since;
    this.past.set(dependency, past);
  }

  private async answer(
    url: string,
    registry: Registry,
  ): Promise<{ code: number; type: string; body: string }> {
    const json = 'application/json';
    switch (new URL(url, 'http://health').pathname) {
      case '/healthz':
        return { code: 200, type: json, body: '{"status":"alive"}' };
      case '/readyz': {
        const { report } = this;
        const code = report.status === 'ready' || report.status === 'degraded' ? 200 : 503;
        return { code, type: json, body: JSON.stringify(report) };
      }
      case '/metrics':
        return { code: 200, type: registry.contentType, body: await registry.metrics() };
      default:
        return { code: 404, type: json, body: '{"error":"GET /healthz, /readyz or /metrics"}' };
    }
  }
}
