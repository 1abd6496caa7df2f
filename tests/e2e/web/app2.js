// A web application that speaks HTTP/2 without TLS, and says on which connection it was asked.
'use strict';
const http2 = require('http2');
const crypto = require('crypto');

const port = Number(process.argv[2]);
const refused = new Set();
let sessions = 0, open = 0, reset = 0;

const pages = {
  '/echo': (stream, headers) => {
    const hash = crypto.createHash('sha256');
    let bytes = 0;
    stream.on('data', (chunk) => { bytes += chunk.length; hash.update(chunk); });
    stream.on('end', () => json(stream, { headers, bytes, sha256: hash.digest('hex') }));
  },
  // Answers once each connection has had the time to bring more.
  '/hold': (stream) => setTimeout(() => json(stream, { most: stream.session.most }), 300),
  '/goaway': (stream) => { json(stream, {}); stream.session.close(); },
  '/refuse': (stream, headers) => {
    if (refused.has(headers['x-case'])) { json(stream, {}); return; }
    refused.add(headers['x-case']);
    stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);
  },
  '/hang': (stream) => {
    open += 1;
    stream.on('close', () => { open -= 1; reset = stream.rstCode; });
  },
  '/open': (stream) => json(stream, { open, reset }),
  '/trailers': (stream) => {
    stream.respond({ ':status': 200 }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': '42' }));
    stream.end('body');
  },
  '/endless': (stream) => {
    stream.respond({ ':status': 200 });
    const piece = Buffer.alloc(64 * 1024, 'x');
    (function more() {
      while (!stream.destroyed) if (!stream.write(piece)) { stream.once('drain', more); return; }
    })();
  },
};

// Sends back each frame it gets, as it stands but for the mask.
function websocket(stream, headers) {
  if (headers[':protocol'] !== 'websocket' || headers[':path'] !== '/ws' || headers['sec-websocket-key']) {
    stream.respond({ ':status': 400 }, { endStream: true });
    return;
  }
  stream.respond({ ':status': 200 });
  stream.on('data', (frame) => {
    const length = frame[1] & 0x7f;
    const mask = frame.subarray(2, 6);
    const data = Buffer.from(frame.subarray(6, 6 + length)).map((byte, at) => byte ^ mask[at % 4]);
    stream.write(Buffer.concat([Buffer.from([frame[0], length]), data]));
  });
  stream.on('end', () => stream.end());
}

function json(stream, said) {
  stream.respond({ ':status': 200, 'content-type': 'application/json' });
  stream.end(JSON.stringify({ session: stream.session.number, ...said }));
}

const server = http2.createServer({ settings: { maxConcurrentStreams: 10, enableConnectProtocol: true } });
server.on('session', (session) => {
  session.on('error', () => {});
  sessions += 1;
  Object.assign(session, { number: sessions, open: 0, most: 0 });
});
server.on('stream', (stream, headers) => {
  const { session } = stream;
  stream.on('error', () => {});
  session.open += 1;
  session.most = Math.max(session.most, session.open);
  stream.on('close', () => { session.open -= 1; });
  if (headers[':method'] === 'CONNECT') { websocket(stream, headers); return; }
  const page = pages[headers[':path'].split('?')[0]];
  if (page) { page(stream, headers); } else { stream.respond({ ':status': 404 }); stream.end(); }
});
server.listen(port, '127.0.0.1', () => console.log('listening'));
