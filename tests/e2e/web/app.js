// A web application that says what it was asked, and speaks WebSocket and server-sent events.
'use strict';
const http = require('http');
const crypto = require('crypto');

const port = Number(process.argv[2]);
let open = 0;
let acts = 0;

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
  // Says so at once, whatever is still to come.
  '/full': (_, res) => { res.writeHead(413); res.end('full\n'); },
  '/open': (_, res) => res.end(String(open)),
  '/cut': (_, res) => { res.writeHead(200, { 'Content-Length': 10 }); res.write('half', () => setTimeout(() => res.destroy(), 100)); },
  '/talking': (_, res) => html(res, `<title>page</title><script>
    const socket = new WebSocket('wss://' + location.host + '/ws');
    socket.onopen = () => socket.send('hello');
    socket.onmessage = (event) => { document.title = 'socket says ' + event.data; };
    socket.onclose = () => { document.title = 'socket closed'; };
  </script>`),
  '/act': (_, res) => { acts += 1; res.end(`acted ${acts}`); },
  '/acts': (_, res) => res.end(`acts ${acts}`),
  '/linking': (_, res) => html(res, '<a href="/">there</a>'),
  '/hostile': (_, res) => html(res, HOSTILE),
  '/takeover': (_, res) => {
    res.writeHead(200, {
      'Set-Cookie': ['__Host-adit-app=x; Path=/; Secure', '=__Host-adit-nonce=x', '__HOST-ADIT=x', 'theirs=1; Path=/'],
      'Clear-Site-Data': '"cookies", "storage"',
    });
    res.end('done');
  },
  '/nonsense': (_, res) => res.socket.end('this is no HTTP\r\n\r\n'),
};

function html(res, text) {
  res.setHeader('Content-Type', 'text/html');
  res.end(`<!doctype html><meta charset="utf-8">${text}`);
}

// A page of one application that acts on another, with whatever a browser sends along.
const HOSTILE = `<title>hostile</title><body><script>
  const query = new URLSearchParams(location.search);
  const there = 'https://' + query.get('to');
  const relay = 'https://' + query.get('relay');
  const include = { credentials: 'include' };
  const tries = {
    // Says nothing of what became of it: whoever counts knows.
    post: () => fetch(there + '/act', { method: 'POST', mode: 'no-cors', ...include }),
    read: () => fetch(there + '/echo', include).then((r) => r.text()),
    json: () => fetch(there + '/act', { method: 'PUT', headers: { 'X-A': '1' }, ...include }),
    relay: () => fetch(relay + '/sign-out', { method: 'POST', body: new URLSearchParams('which=all'), ...include }),
    socket: () => new Promise((resolve, reject) => {
      const socket = new WebSocket(there.replace('https', 'wss') + '/ws');
      socket.onopen = resolve;
      socket.onerror = reject;
    }),
  };
  for (const domain of [location.hostname.split('.').slice(1).join('.')]) {
    const attributes = '; Domain=' + domain + '; Path=/; Secure';
    for (const pair of ['__Host-adit-app=x', '__Host-adit=x', '=__Host-adit-app=x', '__host-adit-app=x']) {
      document.cookie = pair + attributes;
    }
  }
  document.body.insertAdjacentHTML('beforeend', '<iframe name="frame"></iframe>'
    + '<iframe src="' + there + '/act"></iframe><img src="' + there + '/act">'
    + '<form method="post" target="frame" action="' + there + '/act"></form>'
    + '<form method="get" target="frame" action="' + there + '/act"></form>'
    + '<form method="post" target="frame" action="' + relay + '/sign-out"><input name="which" value="all"></form>');
  (async () => {
    const said = [];
    for (const [name, act] of Object.entries(tries)) {
      try { await act(); said.push(name + '=worked'); } catch { said.push(name + '=failed'); }
    }
    for (const form of document.forms) {
      form.submit();
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    document.title = 'done ' + said.join(' ');
  })();
</script>`;

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
  socket.on('end', () => socket.end());
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
