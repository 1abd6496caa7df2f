// A new Ed25519 key, made here and sent to nobody, in the forms that clients read.

export interface KeyPair {
  /** One line, as in authorized_keys. */
  line: string;
  openssh: string;
  pem: string;
  ppk: string;
}

export async function generate(comment: string): Promise<KeyPair> {
  const pair = (await crypto.subtle.generateKey('Ed25519', true, ['sign', 'verify'])) as CryptoKeyPair;
  const secret = new Uint8Array(await crypto.subtle.exportKey('pkcs8', pair.privateKey));
  const open = new Uint8Array(await crypto.subtle.exportKey('raw', pair.publicKey));
  // RFC 8410: the seed is what the structure ends with.
  const seed = secret.slice(-32);
  const blob = join(text(TYPE), string(open));
  return {
    line: `${TYPE} ${base64(blob)} ${comment}`,
    openssh: armoured('OPENSSH PRIVATE KEY', openssh(seed, open, blob, comment), 70),
    pem: armoured('PRIVATE KEY', secret, 64),
    ppk: await ppk(seed, blob, comment),
  };
}

/** OpenSSH's PROTOCOL.key, without a passphrase. */
function openssh(seed: Uint8Array, open: Uint8Array, blob: Uint8Array, comment: string): Uint8Array {
  const check = crypto.getRandomValues(new Uint8Array(4));
  const secret = join(check, check, text(TYPE), string(open), string(join(seed, open)), text(comment));
  const padding = Uint8Array.from({ length: (8 - (secret.length % 8)) % 8 }, (_, n) => n + 1);
  const head = join(utf8('openssh-key-v1\0'), text('none'), text('none'), text(''), number(1));
  return join(head, string(blob), string(join(secret, padding)));
}

/** PuTTY's format 3, without a passphrase. */
async function ppk(seed: Uint8Array, blob: Uint8Array, comment: string): Promise<string> {
  const secret = string(seed);
  const signed = join(text(TYPE), text('none'), text(comment), string(blob), string(secret));
  // The key of the MAC is empty; the standard fills it up with zeros, and browsers take no empty one.
  const key = await crypto.subtle.importKey('raw', new Uint8Array(1), { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
  const mac = new Uint8Array(await crypto.subtle.sign('HMAC', key, signed as BufferSource));
  const [first, second] = [lines(base64(blob), 64), lines(base64(secret), 64)];
  const hex = Array.from(mac, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return [
    `PuTTY-User-Key-File-3: ${TYPE}`, 'Encryption: none', `Comment: ${comment}`,
    `Public-Lines: ${first.length}`, ...first, `Private-Lines: ${second.length}`, ...second,
    `Private-MAC: ${hex}`, '',
  ].join('\r\n');
}

function armoured(what: string, bytes: Uint8Array, width: number): string {
  return [`-----BEGIN ${what}-----`, ...lines(base64(bytes), width), `-----END ${what}-----`, ''].join('\n');
}

const utf8 = (value: string) => new TextEncoder().encode(value);
const text = (value: string) => string(utf8(value));
const string = (bytes: Uint8Array) => join(number(bytes.length), bytes);
const base64 = (bytes: Uint8Array) => btoa(String.fromCharCode(...bytes));
const lines = (value: string, width: number) => value.match(new RegExp(`.{1,${width}}`, 'g')) ?? [];

function number(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}

function join(...parts: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

const TYPE = 'ssh-ed25519';
