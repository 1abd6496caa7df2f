// A terminal's line over HTTP/1.1, whose first frame comes before the answer to the handshake: what is
// typed is run, and the exit status is told.
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { connect } from 'node:tls';

const { host, port, ca, cookie } = JSON.parse(process.env.ADIT_E2E);
const socket = connect({ host: '127.0.0.1', port, servername: host, ca: readFileSync(ca), ALPNProtocols: ['http/1.1'] });
const lines = [
  'GET /api/v1/me/terminal HTTP/1.1', `Host: ${host}:${port}`, `Origin: https://${host}:${port}`, `Cookie: ${cookie}`,
  'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
];
socket.write(`${lines.join('\r\n')}\r\n\r\n`);
send(1, JSON.stringify({ open: { application: 'web1', columns: 80, rows: 24, next: 'n'.repeat(40) } }));
send(2, 'echo $((6 * 7))-fold; exit 5\n');

let all = '';
socket.on('data', (data) => { all += data.toString('latin1'); });
socket.on('close', () => {
  const good = all.startsWith('HTTP/1.1 101') && all.includes('s3pPLMBiTxaQ9kYGzzhZRbK+xOo=') && all.includes('42-fold') && all.includes('"status":5');
  console.log(good ? 'done' : all);
  process.exit(good ? 0 : 1);
});
setTimeout(() => { console.log(`not in time: ${all}`); process.exit(1); }, 30_000);

/** One masked frame (RFC 6455, section 5.2). */
function send(opcode, text) {
  const [data, mask] = [Buffer.from(text), randomBytes(4)];
  const length = data.length < 126 ? [0x80 | data.length] : [0xfe, data.length >> 8, data.length & 0xff];
  socket.write(Buffer.concat([Buffer.from([0x80 | opcode, ...length]), mask, data.map((byte, n) => byte ^ mask[n % 4])]));
}
