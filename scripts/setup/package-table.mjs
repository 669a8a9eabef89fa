// @ts-check
import { spawnSync } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { onPath } from '../../infra/stack/on-path.mjs';
import { javaVersion, oldestJava } from '../../infra/stack/java.mjs';
/** @import { ComponentName } from '../../infra/stack/endpoints.mjs' */

/**
 * What the machine itself must have. Looked for by what it brings, not by package name: a Go or a
 * JDK from elsewhere is as good.
 * @typedef {object} Requirement
 * @property {string} what for people
 * @property {() => boolean} present
 * @property {string[]} apt packages; of alternatives separated by |, the first this release has
 * @property {string[]} dnf
 * @property {string[]} brew
 * @property {readonly ComponentName[]} [onlyFor] not needed when all of these are replaced by a URL
 * @property {true} [onlyTests]
 */

const java = /** @type {const} */ (['kafka', 'registry']);

/** @type {readonly Requirement[]} */
export const requirements = [
  {
    what: 'C++ compiler and make (node-rdkafka is compiled here)',
    present: () => commands('gcc', 'g++', 'make'),
    apt: ['build-essential'],
    dnf: ['gcc', 'gcc-c++', 'make'],
    brew: [],
  },
  {
    what: 'Python 3 (node-gyp is driven by it)',
    present: () => commands('python3'),
    apt: ['python3'],
    dnf: ['python3'],
    brew: ['python'],
  },
  {
    what: 'pkg-config (finds the libraries below)',
    present: () => commands('pkg-config'),
    apt: ['pkg-config'],
    dnf: ['pkgconf-pkg-config'],
    brew: ['pkgconf'],
  },
  // Without its header librdkafka is built without the codec, silently, and then can't read what a
  // producer compressed with it.
  library('zstd.h', 'libzstd-dev', 'libzstd-devel', 'zstd'),
  library('lz4.h', 'liblz4-dev', 'lz4-devel', 'lz4'),
  library('openssl/ssl.h', 'libssl-dev', 'openssl-devel', 'openssl@3'),
  library('sasl/sasl.h', 'libsasl2-dev', 'cyrus-sasl-devel', 'cyrus-sasl'),
  library('zlib.h', 'zlib1g-dev', 'zlib-devel', 'zlib'),
  {
    what: `JDK ${oldestJava} or newer (Kafka, the schema registry, the Java examples)`,
    present: () => (javaVersion() ?? 0) >= oldestJava,
    apt: ['openjdk-17-jdk-headless|openjdk-21-jdk-headless|openjdk-25-jdk-headless'],
    dnf: ['java-21-openjdk-devel'],
    brew: ['openjdk@21'],
    onlyFor: java,
  },
  {
    what: 'Maven (fetches Kafka and the schema registry)',
    present: () => commands('mvn'),
    apt: ['maven'],
    dnf: ['maven'],
    brew: ['maven'],
    onlyFor: java,
  },
  {
    what: 'Redis server',
    present: () => commands('redis-server') || commands('redis-check-rdb'),
    // The server is in redis-tools too; redis-server would start a service of its own.
    apt: ['redis-tools'],
    dnf: ['redis'],
    brew: ['redis'],
    onlyFor: ['redis'],
  },
  {
    what: 'Go (InfluxDB is built from its source)',
    present: () => commands('go'),
    apt: ['golang-go'],
    dnf: ['golang'],
    brew: ['go'],
    onlyFor: ['influx'],
  },
  { what: 'git', present: () => commands('git'), apt: ['git'], dnf: ['git'], brew: ['git'] },
  {
    what: 'Python venv (the tests of foreign producers)',
    present: () => pythonModule('ensurepip'),
    apt: ['python3-venv', 'python3-pip'],
    dnf: ['python3-pip'],
    brew: ['python'],
    onlyTests: true,
  },
];

/**
 * @param {string} header
 * @param {string} apt
 * @param {string} dnf
 * @param {string} brew
 * @returns {Requirement}
 */
function library(header, apt, dnf, brew) {
  const present = () => includeDirs().some((dir) => isThere(`${dir}/${header}`));
  return { what: `${header} (${apt})`, present, apt: [apt], dnf: [dnf], brew: [brew] };
}

/** @param {string[]} names */
const commands = (...names) => names.every((name) => onPath(name) !== null);

function includeDirs() {
  const multiarch = entries('/usr/include').filter((name) => name.includes('-linux-'));
  const brewed = ['/opt/homebrew', '/usr/local'].flatMap((prefix) => [
    `${prefix}/include`,
    ...entries(`${prefix}/opt`).map((name) => `${prefix}/opt/${name}/include`),
  ]);
  return ['/usr/include', ...multiarch.map((name) => `/usr/include/${name}`), ...brewed];
}

/** @param {string} module */
const pythonModule = (module) =>
  spawnSync('python3', ['-c', `import ${module}`], { stdio: 'ignore', timeout: 10_000 }).status ===
  0;

/** @param {string} dir */
function entries(dir) {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
}

/** @param {string} path */
const isThere = (path) => statSync(path, { throwIfNoEntry: false }) !== undefined;
