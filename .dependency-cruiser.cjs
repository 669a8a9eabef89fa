/** Imports point one way: scripts -> topologies -> processors -> schemas, and sinks -> schemas. */
const forbid = (name, from, to, comment) => ({
  name,
  comment,
  severity: 'error',
  from: { path: from, pathNot: '[.]test[.]ts$' },
  to: { path: to },
});

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    {
      name: 'no-circular',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    { name: 'not-to-unresolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
    forbid(
      'schemas-know-nobody',
      '^schemas/',
      '^(processors|sinks|topologies|infra|scripts)/',
      'schemas are what travels; they depend on nothing of ours',
    ),
    forbid(
      'processors-only-schemas',
      '^processors/',
      '^(sinks|topologies|infra|scripts)/',
      'processors declare ports; sinks fit them by shape',
    ),
    forbid(
      'sinks-only-schemas',
      '^sinks/',
      '^(processors|topologies|infra|scripts)/',
      'only topologies/main joins sinks to processors',
    ),
    forbid(
      'topologies-not-scripts',
      '^topologies/',
      '^(infra|scripts)/',
      'the wiring does not know its commands or the local stack',
    ),
    forbid(
      'infra-not-scripts',
      '^infra/',
      '^(processors|topologies)/',
      'the stack and simulators stand outside the pipeline',
    ),
    {
      name: 'processors-do-no-io',
      comment: 'a decision is pure; I/O goes through ports',
      severity: 'error',
      from: { path: '^processors/', pathNot: '[.]test[.]ts$' },
      to: {
        path: '^(node:)?(fs|net|http|https|child_process)$|node_modules/(node-rdkafka|kafkajs|pg|ioredis|undici|@influxdata)',
      },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(^dist|[.]stack)/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'types'],
      extensions: ['.ts', '.js', '.mjs', '.cjs', '.json'],
    },
  },
};
