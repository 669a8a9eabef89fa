// @ts-check
import { OperatorError } from '../../infra/stack/operator-error.mjs';
import { onPath } from '../../infra/stack/on-path.mjs';
import { runCommand } from '../../infra/stack/run-command.mjs';
import { requirements } from './package-table.mjs';
/** @import { ComponentName } from '../../infra/stack/endpoints.mjs' */
/** @import { Progress } from '../../infra/stack/progress.mjs' */
/** @import { Requirement } from './package-table.mjs' */

const installDeadlineMs = 20 * 60_000;

/**
 * Installs what is missing where that needs nobody's permission (Debian, as root); elsewhere says
 * what is missing and the one command that installs it.
 * @param {{ progress: Progress, replaced: ReadonlySet<ComponentName>, tests: boolean }} options
 */
export async function systemPackages({ progress, replaced, tests }) {
  const missing = needed(requirements, replaced, tests).filter(({ present }) => !present());
  if (missing.length === 0) return;
  const apt = onPath('apt-get') !== null;
  if (!apt || process.getuid?.() !== 0) {
    throw missingPackages(missing, await commandFor(missing, apt));
  }
  const names = missing.flatMap((one) => one.apt).map((name) => name.split('|')[0]);
  progress.say(`packages         installing ${names.join(' ')} …`);
  await progress.step(
    'packages',
    () => aptInstall(missing),
    () => 'installed',
  );
  const still = missing.filter(({ present }) => !present());
  if (still.length > 0) throw missingPackages(still, null);
}

/**
 * @param {readonly Requirement[]} all
 * @param {ReadonlySet<ComponentName>} replaced
 * @param {boolean} tests
 */
export const needed = (all, replaced, tests) =>
  all.filter(({ onlyFor, onlyTests }) => {
    const used = onlyFor?.some((name) => !replaced.has(name)) ?? true;
    return used && (tests || !onlyTests);
  });

/**
 * @param {readonly Requirement[]} missing
 * @param {string | null} command
 */
export const missingPackages = (missing, command) =>
  new OperatorError(
    `This machine lacks:\n${missing.map(({ what }) => `  ${what}`).join('\n')}`,
    command === null
      ? 'Install them with your package manager, then run again.'
      : `Install them, then run again:\n  ${command}`,
  );

/**
 * @param {readonly Requirement[]} missing
 * @param {boolean} apt
 * @returns {Promise<string | null>}
 */
async function commandFor(missing, apt) {
  if (apt)
    return `sudo apt-get install -y --no-install-recommends ${(await aptNames(missing)).join(' ')}`;
  if (onPath('dnf'))
    return `sudo dnf install -y ${unique(missing.flatMap(({ dnf }) => dnf)).join(' ')}`;
  if (onPath('brew'))
    return `brew install ${unique(missing.flatMap(({ brew }) => brew)).join(' ')}`;
  return null;
}

/** @param {readonly Requirement[]} missing */
async function aptInstall(missing) {
  const apt = (/** @type {string[]} */ ...args) =>
    runCommand('apt-get', ['-y', '-q', ...args], {
      deadlineMs: installDeadlineMs,
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
      advice: 'apt-get could not install it: the lines above say why. Nothing else was changed.',
    });
  const install = async () =>
    apt('install', '--no-install-recommends', ...(await aptNames(missing)));
  // A list of packages that is absent or outdated shows as a failure here, and only then is a new one needed.
  await install().catch(async () => {
    await apt('update');
    await install();
  });
}

/**
 * @param {readonly Requirement[]} missing
 * @returns {Promise<string[]>}
 */
async function aptNames(missing) {
  const names = await Promise.all(
    unique(missing.flatMap(({ apt }) => apt)).map(async (text) => {
      const alternatives = text.split('|');
      if (alternatives.length === 1) return text;
      for (const name of alternatives) if (await aptHas(name)) return name;
      return alternatives[0] ?? text;
    }),
  );
  return unique(names);
}

/** @param {string} name */
const aptHas = (name) =>
  runCommand('apt-cache', ['show', name], { deadlineMs: 20_000 }).then(
    () => true,
    () => false,
  );

/** @param {string[]} values */
const unique = (values) => [...new Set(values)];
