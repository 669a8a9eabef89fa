// @ts-check
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCommand } from './run-command.mjs';

/** @typedef {{ group: string, artifact: string, version: string, type?: string, classifier?: string }} Artifact */

const downloadDeadlineMs = 10 * 60_000;
const advice =
  'Maven could not fetch it: check the network, a proxy or mirror in ~/.m2/settings.xml, then run again.';

// Maven 3's local repository doesn't bear two writers: one download after the other.
let last = Promise.resolve();

/**
 * Puts the artifacts into a directory; with `transitive`, also all they need at run time.
 * @param {Artifact[]} artifacts
 * @param {string} into
 * @param {{ transitive: boolean, signal?: AbortSignal | undefined }} options
 */
export function download(artifacts, into, options) {
  const mine = last.then(() => copyDependencies(artifacts, into, options));
  last = mine.catch(() => {});
  return mine;
}

/**
 * @param {Artifact[]} artifacts
 * @param {string} into
 * @param {{ transitive: boolean, signal?: AbortSignal | undefined }} options
 */
async function copyDependencies(artifacts, into, { transitive, signal }) {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-maven-'));
  try {
    await writeFile(join(dir, 'pom.xml'), pom(artifacts, transitive));
    await runCommand(
      'mvn',
      [
        '-q',
        '-B',
        'dependency:copy-dependencies',
        `-DoutputDirectory=${into}`,
        '-DincludeScope=runtime',
      ],
      { cwd: dir, deadlineMs: downloadDeadlineMs, advice, signal },
    );
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/**
 * @param {Artifact[]} artifacts
 * @param {boolean} transitive
 */
const pom = (artifacts, transitive) => `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>millrace</groupId>
  <artifactId>download</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>${artifacts.map((one) => dependency(one, transitive)).join('')}
  </dependencies>
</project>
`;

/**
 * @param {Artifact} artifact
 * @param {boolean} transitive
 */
const dependency = ({ group, artifact, version, type = 'jar', classifier }, transitive) => `
    <dependency>
      <groupId>${group}</groupId>
      <artifactId>${artifact}</artifactId>
      <version>${version}</version>
      <type>${type}</type>${classifier ? `\n      <classifier>${classifier}</classifier>` : ''}${transitive ? '' : nothingElse}
    </dependency>`;

/** Excluded here and not filtered afterwards: Maven would still look all of them up. */
const nothingElse = `
      <exclusions>
        <exclusion>
          <groupId>*</groupId>
          <artifactId>*</artifactId>
        </exclusion>
      </exclusions>`;
