// The SSH file transfer protocol, version 3 (draft-ietf-secsh-filexfer-02), as far as files are sent and
// fetched here. The relay allows and records it as any client's.
import { address, type End, type Line } from './line.svelte';

export interface Entry {
  name: string;
  size: number;
  folder: boolean;
}

/** What the server, or the relay in its place, says no with. */
export class Refused extends Error {}

type Take = (packet: Packet) => void;

export class Sftp {
  #waiting = new Map<number, Take>();
  #next = 1;
  #begun!: () => void;
  #failed!: (error: Error) => void;
  #over: Error | undefined;
  #rest = new Uint8Array();

  private constructor(readonly socket: WebSocket) {}

  /** A line for files beside a terminal. */
  static async beside(line: Line): Promise<Sftp> {
    const files = await line.ticket();
    const socket = new WebSocket(address());
    socket.binaryType = 'arraybuffer';
    const sftp = new Sftp(socket);
    const begun = new Promise<void>((resolve, reject) => sftp.#hold(resolve, reject));
    socket.onopen = () => {
      socket.send(JSON.stringify({ files }));
      sftp.#send(INIT, new Writer().u32(VERSION_3));
    };
    socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
      if (typeof data === 'string') sftp.#end((JSON.parse(data) as { end?: End }).end?.reason ?? '');
      else sftp.#read(new Uint8Array(data));
    };
    socket.onclose = () => sftp.#end('the line for files is closed');
    await begun;
    return sftp;
  }

  get open(): boolean {
    return !this.#over;
  }

  close() {
    this.socket.close();
  }

  /** The folder that paths are relative to. */
  async home(): Promise<string> {
    const names = await this.#ask(REALPATH, new Writer().text('.'));
    names.u32();
    return names.text();
  }

  async list(path: string): Promise<Entry[]> {
    const handle = await this.#handle(OPENDIR, new Writer().text(path));
    const entries: Entry[] = [];
    try {
      for (;;) {
        const names = await this.#ask(READDIR, new Writer().bytes(handle));
        if (names.type === STATUS) break;
        for (let left = names.u32(); left > 0; left--) {
          const name = names.text();
          names.text();
          const { size, mode } = names.attributes();
          if (name !== '.' && name !== '..') entries.push({ name, size, folder: (mode & KIND) === FOLDER });
        }
      }
    } finally {
      await this.#close(handle);
    }
    return entries.sort((a, b) => Number(b.folder) - Number(a.folder) || a.name.localeCompare(b.name));
  }

  /** Writes a file. What is there already is replaced. */
  async upload(file: Blob, path: string, progress: (done: number) => void) {
    const handle = await this.#handle(OPEN, new Writer().text(path).u32(FOR_WRITING).u32(0));
    try {
      let done = 0;
      await inTurn(file.size, async (at, length) => {
        const data = new Uint8Array(await file.slice(at, at + length).arrayBuffer());
        await this.#done(WRITE, new Writer().bytes(handle).u64(at).bytes(data));
        progress((done += length));
      });
    } finally {
      await this.#close(handle);
    }
  }

  /** Reads a file, and hands its pieces on in their order. */
  async download(path: string, take: (piece: Uint8Array<ArrayBuffer>) => Promise<void>, progress: (done: number, size: number) => void) {
    const attributes = await this.#ask(STAT, new Writer().text(path));
    if (attributes.type === STATUS) throw attributes.refused();
    const { size } = attributes.attributes();
    const handle = await this.#handle(OPEN, new Writer().text(path).u32(FOR_READING).u32(0));
    try {
      let [done, taken] = [0, Promise.resolve()];
      await inTurn(size, async (at, length) => {
        const pieces: Uint8Array<ArrayBuffer>[] = [];
        // A server may give less than it was asked for.
        for (let from = at; from < at + length;) {
          const data = await this.#ask(READ, new Writer().bytes(handle).u64(from).u32(at + length - from));
          if (data.type === STATUS) throw new Refused('the file became shorter meanwhile');
          const piece = data.bytes();
          if (piece.length === 0) throw new Refused('the server gave nothing');
          pieces.push(piece);
          from += piece.length;
        }
        return pieces;
      }, async (pieces) => {
        taken = taken.then(async () => {
          for (const piece of pieces as Uint8Array<ArrayBuffer>[]) {
            await take(piece);
            progress((done += piece.length), size);
          }
        });
        await taken;
      });
    } finally {
      await this.#close(handle);
    }
  }

  #hold(begun: () => void, failed: (error: Error) => void) {
    [this.#begun, this.#failed] = [begun, failed];
  }

  #end(why: string) {
    if (this.#over) return;
    this.#over = new Refused(why || 'the line for files is closed');
    this.#failed(this.#over);
    const told = new Writer().u32(FAILURE).text(this.#over.message).done();
    this.#waiting.forEach((take) => take(new Packet(STATUS, told)));
    this.#waiting.clear();
    this.socket.close();
  }

  async #handle(type: number, asked: Writer): Promise<Uint8Array> {
    const answer = await this.#ask(type, asked);
    if (answer.type === STATUS) throw answer.refused();
    return answer.bytes();
  }

  async #done(type: number, asked: Writer) {
    const answer = await this.#ask(type, asked);
    const error = answer.refused();
    if (answer.type !== STATUS || error.code !== OK) throw error;
  }

  async #close(handle: Uint8Array) {
    if (!this.#over) await this.#ask(CLOSE, new Writer().bytes(handle));
  }

  async #ask(type: number, asked: Writer): Promise<Packet> {
    if (this.#over) throw this.#over;
    const id = this.#next++;
    const answer = new Promise<Packet>((resolve) => this.#waiting.set(id, resolve));
    this.#send(type, new Writer().u32(id).raw(asked.done()));
    return answer;
  }

  #send(type: number, body: Writer) {
    const bytes = body.done();
    this.socket.send(new Writer().u32(bytes.length + 1).u8(type).raw(bytes).done());
  }

  #read(bytes: Uint8Array) {
    const all = new Uint8Array(this.#rest.length + bytes.length);
    all.set(this.#rest);
    all.set(bytes, this.#rest.length);
    let at = 0;
    while (all.length - at >= 5) {
      const length = new DataView(all.buffer, at).getUint32(0);
      if (length < 1 || length > MOST) return this.#end('the server says what nobody understands');
      if (all.length - at < 4 + length) break;
      this.#take(new Packet(all[at + 4] ?? 0, all.slice(at + 5, at + 4 + length)));
      at += 4 + length;
    }
    this.#rest = all.slice(at);
  }

  #take(packet: Packet) {
    if (packet.type === VERSION) return this.#begun();
    const id = packet.u32();
    this.#waiting.get(id)?.(packet);
    this.#waiting.delete(id);
  }
}

/** Does `size` bytes in pieces, several at a time, and passes what came of each on in their order. */
async function inTurn<T>(size: number, piece: (at: number, length: number) => Promise<T>, pass?: (result: T) => Promise<void>) {
  let at = 0;
  const under: Promise<T>[] = [];
  while (at < size || under.length > 0) {
    while (at < size && under.length < AT_ONCE) {
      const length = Math.min(PIECE, size - at);
      const begun = piece(at, length);
      // It is waited for in its turn; one before it may fail first.
      begun.catch(() => undefined);
      under.push(begun);
      at += length;
    }
    const result = await under.shift();
    if (result !== undefined) await pass?.(result);
  }
}

class Writer {
  #bytes: number[] = [];
  #parts: Uint8Array[] = [];

  u8(n: number) { this.#bytes.push(n & 0xff); return this; }
  u32(n: number) { return this.u8(n >>> 24).u8(n >>> 16).u8(n >>> 8).u8(n); }
  u64(n: number) { return this.u32(Math.floor(n / 2 ** 32)).u32(n >>> 0); }
  text(text: string) { return this.bytes(new TextEncoder().encode(text)); }
  bytes(bytes: Uint8Array) { return this.u32(bytes.length).raw(bytes); }
  raw(bytes: Uint8Array) {
    this.#parts.push(Uint8Array.from(this.#bytes), bytes);
    this.#bytes = [];
    return this;
  }

  done(): Uint8Array<ArrayBuffer> {
    const parts = [...this.#parts, Uint8Array.from(this.#bytes)];
    const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }
}

/** An answer, read from its beginning. */
class Packet {
  #at = 0;
  #view: DataView;

  constructor(readonly type: number, readonly body: Uint8Array<ArrayBuffer>) {
    this.#view = new DataView(body.buffer, body.byteOffset, body.length);
  }

  u32(): number {
    this.#at += 4;
    return this.#view.getUint32(this.#at - 4);
  }

  bytes(): Uint8Array<ArrayBuffer> {
    const length = this.u32();
    this.#at += length;
    return this.body.slice(this.#at - length, this.#at);
  }

  text(): string {
    return new TextDecoder().decode(this.bytes());
  }

  attributes(): { size: number; mode: number } {
    const flags = this.u32();
    const size = flags & 1 ? this.u32() * 2 ** 32 + this.u32() : 0;
    if (flags & 2) this.#at += 8;
    const mode = flags & 4 ? this.u32() : 0;
    if (flags & 8) this.#at += 8;
    return { size, mode };
  }

  refused(): Refused & { code: number } {
    const code = this.u32();
    return Object.assign(new Refused(this.text() || `the server refuses (${code})`), { code });
  }
}

const [INIT, VERSION, OPEN, CLOSE, READ, WRITE, OPENDIR, READDIR, REALPATH, STAT, STATUS] = [1, 2, 3, 4, 5, 6, 11, 12, 16, 17, 101];
const VERSION_3 = 3;
const [FOR_READING, FOR_WRITING] = [0x01, 0x02 | 0x08 | 0x10];
const [OK, FAILURE] = [0, 4];
const [KIND, FOLDER] = [0o170000, 0o040000];
/** Every server takes this much at once. */
const PIECE = 32 * 1024;
const AT_ONCE = 8;
/** Of an answer: more no server gives to what is asked here. */
const MOST = 256 * 1024;
