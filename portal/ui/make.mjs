// Makes `dist`, which the relay is built with: installs what package-lock.json says, and builds. Each
// is left out where nothing it stands on has changed. `node portal/ui/make.mjs`
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  fail(`the portal needs Node 20.19 or newer, and this is ${process.version}`);
}

const lock = hash(['package.json', 'package-lock.json']);
once(join('node_modules', '.adit'), lock, () => {
  run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']);
});
const inputs = hash([...all('src'), ...all('scripts'), 'index.html', 'desktop.html', 'vite.config.js', 'svelte.config.js', 'tsconfig.json',
  'package-lock.json', '../../docs/openapi.json']);
once(join('dist', '.adit'), inputs, () => run('npm', ['run', '--silent', 'build']));

/** Runs `act` unless `mark` says that it was done for the same. */
function once(mark, wanted, act) {
  const file = join(here, mark);
  if (existsSync(file) && readFileSync(file, 'utf8') === wanted) return;
  act();
  writeFileSync(file, wanted);
}

function run(program, args) {
  const { status, error } = spawnSync(program, args, { cwd: here, stdio: ['ignore', 2, 2] });
  if (error) fail(`could not run ${program}: ${error.message}`);
  if (status !== 0) fail(`${program} ${args.join(' ')} failed in portal/ui`);
}

function all(folder) {
  const names = readdirSync(join(here, folder)).sort().map((name) => join(folder, name));
  return names.flatMap((name) => (statSync(join(here, name)).isDirectory() ? all(name) : [name]));
}

function hash(files) {
  const sum = createHash('sha256');
  for (const file of files) sum.update(file).update('\0').update(readFileSync(join(here, file))).update('\0');
  return sum.digest('hex');
}

function fail(why) {
  console.error(`error: ${why}`);
  process.exit(1);
}
