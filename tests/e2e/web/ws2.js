// WebSockets over HTTP/2 (RFC 8441): several on one connection, each echoes what it is sent.
'use strict';
const fs = require('fs');
const http2 = require('http2');

const [host, ca, token, what, cookie, origin] = process.argv.slice(2);
// Who asks: a program by its token, a page by its cookie.
const by = Object.fromEntries(Object.entries({ 'x-adit-key': token, cookie, origin }).filter(([, value]) => value));
const client = http2.connect(`https://${host}`, {
  ca: fs.readFileSync(ca), lookup: (_, options, done) => (options.all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4)),
});
client.on('error', (error) => { console.log(`error ${error.message}`); process.exit(1); });
client.once('remoteSettings', (settings) => {
  if (!settings.enableConnectProtocol) { console.log('no extended CONNECT'); process.exit(1); }
  if (what === 'hold') { hold(); return; }
  if (what === 'status') { status(open('websocket', '/ws')).then((got) => { console.log(got); client.close(); }); return; }
  Promise.all(['one', 'two', 'three'].map(talk)).then(refused).then(plain).then(() => { console.log('done'); client.close(); });
});

function open(protocol, path) {
  return client.request({
    ':method': 'CONNECT', ':protocol': protocol, ':scheme': 'https', ':path': path, ':authority': host,
    'sec-websocket-version': '13', ...by,
  }, { endStream: false });
}

// A frame as a client sends it: masked.
function frame(text) {
  const data = Buffer.from(text).map((byte) => byte ^ 7);
  return Buffer.concat([Buffer.from([0x81, 0x80 | data.length, 7, 7, 7, 7]), data]);
}

function talk(text) {
  return new Promise((resolve) => {
    const stream = open('websocket', '/ws');
    stream.once('response', (headers) => {
      expect(headers[':status'], 200);
      expect(headers['sec-websocket-accept'], undefined);
      stream.write(frame(text));
    });
    let got = Buffer.alloc(0);
    stream.on('data', (data) => {
      got = Buffer.concat([got, data]);
      if (got.length < text.length + 2) return;
      expect(got.subarray(2).toString(), text);
      stream.end();
      resolve();
    });
  });
}

function status(stream) {
  return new Promise((resolve) => {
    stream.once('response', (headers) => { stream.close(); resolve(headers[':status']); });
  });
}

// What is no WebSocket's, or no WebSocket at the origin.
async function refused() {
  expect(await status(open('other', '/ws')), 501);
  expect(await status(open('websocket', '/nothing')), 400);
}

// The connection goes on.
async function plain() {
  const stream = client.request({ ':path': '/open', ':authority': host, ...by });
  expect(await status(stream), 200);
}

function hold() {
  const stream = open('websocket', '/ws');
  stream.once('response', () => console.log('open'));
  stream.on('close', () => { console.log('closed'); client.close(); });
  stream.on('error', () => {});
  stream.resume();
}

function expect(got, wanted) {
  if (got !== wanted) { console.log(`${got} is not ${wanted}`); process.exit(1); }
}
