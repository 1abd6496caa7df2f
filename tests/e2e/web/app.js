// A web application that says what it was asked, and speaks WebSocket and server-sent events.
'use strict';
const http = require('http');
const crypto = require('crypto');

const port = Number(process.argv[2]);
let open = 0;

const pages = {
  '/echo': echo,
  '/redirect': (_, res) => {
    res.writeHead(302, { Location: '/landing?x=1', 'Set-Cookie': 'seen=1; Path=/; Domain=corp.test' });
    res.end();
  },
  '/absolute': (req, res) => {
    res.writeHead(302, { Location: `http://${req.headers.host}/landing` });
    res.end();
  },
  '/landing': (req, res) => res.end(`landed with ${req.headers.cookie || 'no cookie'}\n`),
  '/wiki/redirect': (_, res) => {
    res.writeHead(302, { Location: '/wiki/landing?x=1', 'Set-Cookie': 'seen=2; Path=/wiki' });
    res.end();
  },
  '/wiki/landing': (req, res) => res.end(`${req.url} with ${req.headers.cookie || 'no cookie'}\n`),
  '/events': events,
  '/endless': (req, res) => pour(req, res, Infinity),
  '/big': (req, res) => {
    const length = Number(new URL(req.url, 'http://x').searchParams.get('bytes'));
    res.setHeader('Content-Length', length);
    pour(req, res, length);
  },
  '/trailers': (_, res) => {
    res.writeHead(200, { Trailer: 'X-Sum' });
    res.write('body');
    res.addTrailers({ 'X-Sum': '42' });
    res.end();
  },
  '/hang': (req) => {
    open += 1;
    req.on('close', () => { open -= 1; });
  },
  '/open': (_, res) => res.end(String(open)),
  '/cut': (_, res) => { res.writeHead(200, { 'Content-Length': 10 }); res.write('half', () => setTimeout(() => res.destroy(), 100)); },
  '/nonsense': (_, res) => res.socket.end('this is no HTTP\r\n\r\n'),
};

function echo(req, res) {
  const hash = crypto.createHash('sha256');
  let bytes = 0;
  req.on('data', (chunk) => { bytes += chunk.length; hash.update(chunk); });
  req.on('end', () => {
    const { method, url, rawHeaders, headers } = req;
    res.setHeader('Content-Type', 'application/json');
    res.end(JSON.stringify({
      method, url, rawHeaders, headers, bytes, sha256: hash.digest('hex'), socket: req.socket.remotePort,
    }));
  });
}

function events(req, res) {
  res.writeHead(200, { 'Content-Type': 'text/event-stream' });
  let n = 0;
  const timer = setInterval(() => res.write(`data: ${n++}\n\n`), 50);
  req.on('close', () => clearInterval(timer));
}

function pour(req, res, left) {
  const piece = Buffer.alloc(64 * 1024, 'x');
  (function more() {
    while (left > 0) {
      const part = left < piece.length ? piece.subarray(0, left) : piece;
      left -= part.length;
      if (!res.write(part)) { res.once('drain', more); return; }
    }
    res.end();
  })();
}

const server = http.createServer((req, res) => {
  const page = pages[req.url.split('?')[0]];
  if (page) { page(req, res); } else { res.statusCode = 404; res.end('no such page\n'); }
});

// Decides by the head whether a body is wanted.
server.on('checkContinue', (req, res) => {
  if (req.url === '/full') { res.writeHead(413, { Connection: 'close' }); res.end('too much\n'); return; }
  res.writeContinue();
  server.emit('request', req, res);
});

// Sends back each frame it gets, as it stands but for the mask.
server.on('upgrade', (req, socket) => {
  socket.on('error', () => {});
  if (req.url !== '/ws') { socket.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n'); return; }
  const accept = crypto.createHash('sha1')
    .update(req.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64');
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
  socket.on('data', (frame) => {
    const length = frame[1] & 0x7f;
    const mask = frame.subarray(2, 6);
    const data = Buffer.from(frame.subarray(6, 6 + length)).map((byte, at) => byte ^ mask[at % 4]);
    socket.write(Buffer.concat([Buffer.from([frame[0], length]), data]));
  });
});

server.listen(port, '127.0.0.1', () => console.log('listening'));
