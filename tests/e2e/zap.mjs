// What an attacker's scanner would try, against every operation of the API's document and every page
// of the portal. Told by ADIT_ZAP where the relay is; says what it found and fails with it.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:https';

const told = JSON.parse(process.env.ADIT_ZAP);
const agent = new Agent({ keepAlive: true, maxSockets: 8, ca: readFileSync(told.ca) });
const { hostname, port, origin } = new URL(told.url);
const found = [];
let asked = 0;
const check = (holds, what) => { if (!holds) found.push(what); };
const MARK = `zap"'><script>alert(1)</script>`;
const SAME = { 'sec-fetch-site': 'same-origin', origin };
const UUID = '2f1d9a64-7d5e-4a76-9d39-0b7c4c9c9a51';

/** One request, as it is written: no client of a library tidies the path up. */
function ask(method, path, { headers = {}, body, by } = {}) {
  asked += 1;
  const auth = by === undefined ? {} : by.startsWith('adit_') ? { authorization: `Bearer ${by}` } : { cookie: by };
  return new Promise((resolve, reject) => {
    const sent = body === undefined ? {} : { 'content-length': Buffer.byteLength(body) };
    const call = request({ hostname, port, path, method, agent, headers: { ...auth, ...sent, ...headers }, timeout: 20_000 }, (answer) => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (data) => { text += data; });
      answer.on('end', () => resolve({ status: answer.statusCode, headers: answer.headers, text }));
      answer.on('error', reject);
    });
    call.on('upgrade', (answer, socket) => { socket.destroy(); resolve({ status: answer.statusCode, headers: answer.headers, text: '' }); });
    call.on('timeout', () => call.destroy(new Error('no answer')));
    // What is refused before its body was read may cut the line under it.
    call.on('error', (error) => (['ECONNRESET', 'EPIPE'].includes(error.code) ? resolve({ status: 0, headers: {}, text: '' }) : reject(error)));
    call.end(body);
  });
}

/** What every answer has to be, whatever was asked. */
function sane(answer, what) {
  check(answer.status < 500 || answer.status === 503, `${what}: ${answer.status} ${answer.text.slice(0, 200)}`);
  check(!/panicked|stack backtrace|RUST_BACKTRACE|\.rs:\d+|sqlx|rusqlite|SELECT .* FROM/i.test(answer.text), `${what} tells of its insides: ${answer.text.slice(0, 300)}`);
  check(!answer.headers.server && !answer.headers['x-powered-by'], `${what} says what serves it`);
  check(!answer.headers['access-control-allow-origin'], `${what} lets other origins read`);
  if (answer.status === 0) return;
  check(answer.headers['x-content-type-options'] === 'nosniff' || answer.status === 304, `${what}: no nosniff`);
  const json = /json/.test(answer.headers['content-type'] ?? '');
  check(json || !answer.text.includes(MARK), `${what} gives back what was sent: ${answer.text.slice(0, 300)}`);
}

const isApi = (answer, what) => {
  sane(answer, what);
  if (answer.status === 0) return;
  check(answer.headers['cache-control'] === 'no-store', `${what}: ${answer.headers['cache-control']} is kept`);
  check(/frame-ancestors 'none'/.test(answer.headers['content-security-policy'] ?? ''), `${what}: may be framed`);
  check(answer.headers['x-frame-options'] === 'DENY', `${what}: X-Frame-Options`);
  check(answer.headers['referrer-policy'] === 'no-referrer', `${what}: Referrer-Policy`);
  if (told.alone) check(/max-age=\d{8}/.test(answer.headers['strict-transport-security'] ?? ''), `${what}: no HSTS`);
  if (answer.status >= 400) {
    check(answer.headers['content-type'] === 'application/problem+json', `${what}: a refusal as ${answer.headers['content-type']}`);
    check(/"code":"[a-z_]+\.[a-z_]+"/.test(answer.text), `${what}: a refusal without a code: ${answer.text}`);
  }
};

const document = JSON.parse((await ask('GET', '/api/v1/openapi.json')).text);
const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'];
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).filter(([, one]) => one.operationId).map(([method, one]) => ({
    id: one.operationId, method: method.toUpperCase(), template: path, role: one['x-role'],
    path: path.replace(/\{(name)\}/g, 'nobody').replace(/\{[^}]*\}/g, UUID),
    socket: Object.keys(one.responses).includes('101'), query: (one.parameters ?? []).filter((p) => p.in === 'query').map((p) => p.name),
    taking: one.requestBody !== undefined,
  })));
assert.ok(operations.length > 100, 'the document has all operations');

/** Signs a browser in by its code, and looks at the cookie it gets. */
async function signIn(code) {
  const answer = await ask('POST', '/sign-in', { headers: { ...SAME, 'content-type': 'application/x-www-form-urlencoded' }, body: `code=${encodeURIComponent(code)}` });
  assert.equal(answer.status, 303, answer.text);
  const cookies = answer.headers['set-cookie'] ?? [];
  const own = cookies.find((cookie) => cookie.startsWith('__Host-adit='));
  for (const cookie of cookies) {
    for (const flag of ['Secure', 'HttpOnly', 'SameSite=Lax', 'Path=/']) check(cookie.includes(`; ${flag}`), `the cookie ${cookie.split('=')[0]} is not ${flag}`);
    check(!/; *domain=/i.test(cookie), 'a cookie is of the whole domain');
  }
  return own.split(';')[0];
}
const admin = await signIn(told.codes.admin);
const person = await signIn(told.codes.alice);
assert.notEqual((await ask('GET', '/api/v1/me', { by: admin, headers: SAME })).status, 401);

// What would end what this script stands on is asked for with ids of nothing, but for one.
const SPARED = new Set(['apply']);
for (const { id, method, path, role, socket, taking, query } of operations) {
  const json = { 'content-type': 'application/json' };
  const what = (how) => `${id} (${method} ${path}) ${how}`;
  const body = taking ? '{}' : undefined;

  // Nobody.
  const nobody = await ask(method, path, { headers: body ? json : {}, body });
  if (path.startsWith('/api/') || nobody.status >= 400) isApi(nobody, what('by nobody'));
  if (role !== 'anonymous') check([401, 426].includes(nobody.status), what(`by nobody: ${nobody.status}`));

  if (role !== 'anonymous') {
    // A page from elsewhere, in the name of whoever looks at it. Reads too: nothing here is for others.
    const foreign = [
      { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' },
      { 'sec-fetch-site': 'same-site', origin: `https://web1-hq.${hostname}:${port}` },
      { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' },
      { origin: 'https://evil.example' }, { origin: 'null' }, { origin: `http://${hostname}:${port}` }, { origin: `${origin}.evil.example` },
      ...(method === 'GET' ? [] : [{}]),
    ];
    for (const headers of foreign) {
      const answer = await ask(method, path, { by: admin, headers: { ...headers, ...(body ? json : {}) }, body });
      isApi(answer, what(`from ${JSON.stringify(headers)}`));
      check(answer.status === 403 && /web\.cross_origin/.test(answer.text), what(`from ${JSON.stringify(headers)}: ${answer.status} ${answer.text.slice(0, 100)}`));
    }
    // Somebody without the right.
    if (['admin', 'auditor'].includes(role)) {
      const answer = await ask(method, path, { by: person, headers: { ...SAME, ...(body ? json : {}) }, body });
      check(answer.status === 403 && /access\.admin_required/.test(answer.text), what(`by alice: ${answer.status}`));
    }
    // A token in the address, a cookie in a header of another name, and a method in a header.
    const smuggled = await ask(method, `${path}?access_token=${told.token}&token=${told.token}`, { headers: { 'x-adit-key': told.token, ...(body ? json : {}) }, body });
    check([401, 426].includes(smuggled.status), what(`by a token elsewhere: ${smuggled.status}`));
    // Wrong forms, and more than fits.
    if (taking && !SPARED.has(id)) {
      for (const [type, sent] of [['text/plain', '{}'], ['application/x-www-form-urlencoded', 'a=b'], ['application/json', '{"'], ['application/json', '[]'],
        ['application/json', 'null'], ['application/json', '"\\ud800"'], ['application/json', '['.repeat(5000)], ['application/json', `{"${MARK.replaceAll('"', '\\"')}":1}`],
        ['multipart/form-data; boundary=x', '--x--'], ['application/xml', '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>']]) {
        const answer = await ask(method, path, { by: told.token, headers: { 'content-type': type }, body: sent });
        isApi(answer, what(`with ${type} ${sent.slice(0, 20)}`));
        // An empty list is an object of which everything is left as it is.
        check((answer.status >= 400 || sent === '[]') && answer.status < 500, what(`with ${type} ${sent.slice(0, 20)}: ${answer.status}`));
        check(!/root:/.test(answer.text), what('reads files'));
      }
      const big = await ask(method, path, { by: told.token, headers: json, body: `{"a":"${'x'.repeat(2 << 20)}"}` });
      isApi(big, what('with two MiB'));
      check([0, 400, 403, 404, 413].includes(big.status), what(`with two MiB: ${big.status}`));
    }
    // What is sent comes back nowhere as markup, and no parameter breaks it.
    if (method === 'GET') {
      const names = query.length > 0 ? query : ['x'];
      for (const value of [MARK, "' OR 1=1 --", '../../../etc/passwd', '%00', '\0', '\u{202e}', '9'.repeat(400)]) {
        const answer = await ask(method, `${path}?${names.map((name) => `${name}=${encodeURIComponent(value)}`).join('&')}`, { by: told.token });
        isApi(answer, what(`asked with ${value.slice(0, 20)}`));
        check(!/root:.*:0:0/.test(answer.text), what('reads files'));
      }
    }
  }
  if (socket) {
    // Each WebSocket asks for the sign-in and its own origin, whatever else is right.
    const shake = { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' };
    // With what it asks for, so that it is refused for nothing else.
    const line = query.length > 0 ? `${path}?${query.map((name) => `${name}=${UUID}`).join('&')}` : path;
    const by = { nobody: undefined, admin };
    for (const [name, who] of Object.entries(by)) {
      for (const from of [undefined, 'null', 'https://evil.example', `https://web1-hq.${hostname}:${port}`, `http://${hostname}:${port}`]) {
        const answer = await ask('GET', line, { by: who, headers: { ...shake, ...(from ? { origin: from } : {}) } });
        check([401, 403].includes(answer.status), what(`as a WebSocket by ${name} from ${from}: ${answer.status}`));
      }
    }
    const signedOut = await ask('GET', path, { by: '__Host-adit=guessed', headers: { ...shake, origin } });
    check(signedOut.status === 401, what(`as a WebSocket by a guess: ${signedOut.status}`));
    const token = await ask('GET', path, { by: told.token, headers: { ...shake, origin } });
    check(token.status >= 400 && token.status < 500, what(`as a WebSocket by a token: ${token.status}`));
    if (role === 'auditor') {
      const answer = await ask('GET', path, { by: person, headers: { ...shake, ...SAME } });
      check(answer.status === 403, what(`as a WebSocket by alice: ${answer.status}`));
    }
  }
}

// Methods that a path does not have.
for (const template of Object.keys(document.paths)) {
  const own = operations.filter((one) => one.template === template);
  for (const method of [...METHODS, 'OPTIONS', 'TRACE', 'PROPFIND'].filter((one) => !own.some((op) => op.method === one))) {
    const answer = await ask(method, own[0].path, { by: told.token, headers: { 'x-http-method-override': own[0].method, 'x-method-override': own[0].method } });
    sane(answer, `${method} ${own[0].path}`);
    check([400, 404, 405].includes(answer.status), `${method} ${own[0].path}: ${answer.status}`);
  }
}

// Pages: each route of the portal's router, by nobody and by somebody.
const pages = [...new Set([...told.router.matchAll(/\.route\("([^"]+)",\s*([^\n]+)\)/g)].map(([, path, how]) => JSON.stringify([path, how])))].map((one) => JSON.parse(one));
assert.ok(pages.length >= 16, `the portal's routes: ${pages.length}`);
for (const [template, how] of pages) {
  const path = template.replace(/\{[^}]*\}/g, 'nothing');
  const link = `${path}?next=${encodeURIComponent(MARK)}&to=${encodeURIComponent(MARK)}&code=${encodeURIComponent(MARK)}&state=${encodeURIComponent(MARK)}`;
  for (const by of [undefined, person]) {
    for (const target of [path, link]) {
      const answer = await ask('GET', target, { by, headers: { accept: 'text/html', 'sec-fetch-site': 'none', 'sec-fetch-mode': 'navigate' } });
      const what = `GET ${target.slice(0, 60)} by ${by ? 'alice' : 'nobody'}`;
      sane(answer, what);
      const { headers } = answer;
      check(/frame-ancestors 'none'/.test(headers['content-security-policy'] ?? '') && /default-src 'none'/.test(headers['content-security-policy'] ?? ''), `${what}: ${headers['content-security-policy']}`);
      check(!/unsafe-inline|'unsafe-eval'/.test(headers['content-security-policy'] ?? ''), `${what} may run what is written into it`);
      check(headers['x-frame-options'] === 'DENY', `${what}: X-Frame-Options`);
      check(headers['referrer-policy'] === 'no-referrer', `${what}: Referrer-Policy`);
      check(answer.status === 405 || /no-store|no-cache|immutable/.test(headers['cache-control'] ?? ''), `${what}: ${headers['cache-control']}`);
      check(!/^(https?:)?\/\/(?!localhost)/.test(headers.location ?? '') && !/evil/.test(headers.location ?? ''), `${what} leads to ${headers.location}`);
      if (told.alone) check(/max-age/.test(headers['strict-transport-security'] ?? ''), `${what}: no HSTS`);
    }
  }
  const posts = /post\(/.test(how);
  for (const headers of [{}, { origin: 'https://evil.example' }, { origin: 'null' }, { 'sec-fetch-site': 'cross-site' }, { 'sec-fetch-site': 'same-site', origin: `https://web1-hq.${hostname}:${port}` }]) {
    const answer = await ask('POST', path, { by: person, headers: { ...headers, 'content-type': 'application/x-www-form-urlencoded' }, body: 'which=all&code=x' });
    sane(answer, `POST ${path} from ${JSON.stringify(headers)}`);
    check(posts ? answer.status === 403 : [403, 404, 405].includes(answer.status), `POST ${path} from ${JSON.stringify(headers)}: ${answer.status}`);
  }
  if (posts) {
    for (const [type, body] of [['application/x-www-form-urlencoded', '%%%=&&'], ['application/json', '{"'], ['text/plain', MARK], ['application/x-www-form-urlencoded', `next=${encodeURIComponent(MARK)}&code=${encodeURIComponent(MARK)}&user=${encodeURIComponent(MARK)}&password=x`], ['application/x-www-form-urlencoded', 'x'.repeat(1 << 20)]]) {
      const answer = await ask('POST', path, { headers: { ...SAME, 'content-type': type }, body });
      sane(answer, `POST ${path} with ${type} ${body.slice(0, 20)}`);
      check(answer.status < 500, `POST ${path} with ${type} ${body.slice(0, 20)}: ${answer.status}`);
    }
  }
}

// Paths that lead out of where they begin.
for (const path of ['/assets/../../etc/passwd', '/assets/%2e%2e/%2e%2e/etc/passwd', '/assets/..%2f..%2fetc%2fpasswd', '/.adit/..%2f..%2fetc/passwd', '/api/v1/../../etc/passwd',
  '/api/v1/users/..%2f..%2fsettings', '/api/v1/sessions/..%2f..%2fetc%2fpasswd/recording', '//etc/passwd', '/%00', '/.git/config', '/.env', '/assets/index.html%00.js', '/api/v1/%ff%fe', '/\\..\\..\\windows\\win.ini']) {
  for (const by of [undefined, told.token]) {
    const answer = await ask('GET', path, { by });
    sane(answer, `GET ${path}`);
    check(answer.status >= 300 && answer.status < 500 || answer.status === 0, `GET ${path}: ${answer.status}`);
    check(!/root:|\[core\]|\[fonts\]/.test(answer.text), `GET ${path} gives a file`);
  }
}

assert.deepEqual(found, [], `${found.length} findings in ${asked} requests`);
console.log(`${operations.length} operations, ${pages.length} pages, ${asked} requests`);
