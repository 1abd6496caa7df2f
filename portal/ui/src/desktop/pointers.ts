// Pointers of a desktop (MS-RDPBCGR 2.2.9.1.1.4, 2.2.9.1.2.1). The decoder (0.7.0) leaves them out, so
// they are read beside it, off the line that it reads.

/** Listens to what a desktop says from here on; `show` gets what CSS calls a cursor. */
export function pointers(show: (cursor: string) => void): (bytes: Uint8Array) => void {
  const kept = new Map<number, string>();
  const line = new Frames();
  return (bytes) => {
    for (const frame of line.take(bytes)) {
      for (const [kind, body] of updates(frame)) {
        const cursor = read(kind, body, kept);
        if (cursor !== undefined) show(cursor);
      }
    }
  };
}

/** Cuts what a target says into frames: they are cut otherwise on their way. */
class Frames {
  private rest = new Uint8Array();
  /** Whether a login is over, or there was none. */
  private open = false;

  take(bytes: Uint8Array): Uint8Array[] {
    const all = new Uint8Array(this.rest.length + bytes.length);
    all.set(this.rest);
    all.set(bytes, this.rest.length);
    const frames = [];
    let at = 0;
    for (let length = this.next(all, at); length > 0 && at + length <= all.length; length = this.next(all, at)) {
      frames.push(all.subarray(at, at + length));
      at += length;
    }
    this.rest = all.slice(at);
    return frames;
  }

  private next(bytes: Uint8Array, at: number): number {
    this.open ||= bytes[at] === 3;
    return this.open || bytes[at] === 0x30 ? lengthOf(bytes, at) : RESULT;
  }
}

/** How long a target's word on a login is. */
const RESULT = 4;

/** How long what begins here is: of a login, of RDP, or of its fast path; 0: that is not known yet. */
function lengthOf(bytes: Uint8Array, at: number): number {
  const [first, second, third, fourth] = bytes.subarray(at, at + 4);
  if (first === undefined || second === undefined || third === undefined) return 0;
  if (first === 3) return fourth === undefined ? 0 : third * 256 + fourth;
  const login = first === 0x30;
  if (login && second > 0x80) {
    const digits = second - 0x80;
    const length = bytes.subarray(at + 2, at + 2 + digits);
    return length.length < digits ? 0 : 2 + digits + length.reduce((sum, digit) => sum * 256 + digit, 0);
  }
  if (login) return 2 + second;
  return second & 0x80 ? (second & 0x7f) * 256 + third : second;
}

/** Updates of a frame of the fast path that are whole and not compressed, as those of pointers are. */
function* updates(frame: Uint8Array): Generator<[number, DataView]> {
  if (frame[0] === undefined || (frame[0] & 3) !== 0 || frame[0] === 0x30) return;
  for (let at = frame[1] !== undefined && frame[1] & 0x80 ? 3 : 2; at + 3 <= frame.length;) {
    const head = frame[at] ?? 0;
    const compressed = (head & 0xc0) !== 0;
    const start = at + (compressed ? 4 : 3);
    const end = start + (frame[start - 2] ?? 0) + (frame[start - 1] ?? 0) * 256;
    if (end > frame.length) return;
    const whole = (head & 0x30) === 0;
    if (whole && !compressed) yield [head & 0x0f, new DataView(frame.buffer, frame.byteOffset + start, end - start)];
    at = end;
  }
}

function read(kind: number, body: DataView, kept: Map<number, string>): string | undefined {
  try {
    if (kind === HIDDEN) return 'none';
    if (kind === DEFAULT) return 'default';
    if (kind === CACHED) return kept.get(body.getUint16(0, true)) ?? 'default';
    if (kind !== COLOURED && kind !== NEW) return undefined;
    const at = kind === NEW ? 2 : 0;
    const cursor = draw(body, at, kind === NEW ? body.getUint16(0, true) : 24);
    if (kept.size < MOST) kept.set(body.getUint16(at, true), cursor);
    return cursor;
  } catch {
    // One that is cut, or has a form that is not known, changes nothing.
    return undefined;
  }
}

/** A pointer of so many bits: its number, the place that points, its measures, and two masks. */
function draw(body: DataView, at: number, bits: number): string {
  const [x = 0, y = 0, width = 0, height = 0, inside = 0, colours = 0] = [2, 4, 6, 8, 10, 12].map((place) => body.getUint16(at + place, true));
  const [row, line] = [2 * Math.ceil((width * bits) / 16), 2 * Math.ceil(width / 16)];
  if (width < 1 || height < 1 || width > LARGEST || height > LARGEST || colours < row * height || inside < line * height) throw new Error('its measures');
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext('2d');
  const image = context?.createImageData(width, height);
  if (!context || !image) throw new Error('nothing to draw on');
  const [colour, mask] = [at + 14, at + 14 + colours];
  for (let down = 0; down < height; down++) {
    // From its last row up.
    const [from, masked] = [colour + (height - 1 - down) * row, mask + (height - 1 - down) * line];
    for (let across = 0; across < width; across++) {
      const clear = (body.getUint8(masked + (across >> 3)) & (0x80 >> (across & 7))) !== 0;
      image.data.set(pixel(body, from, across, bits, clear), (down * width + across) * 4);
    }
  }
  context.putImageData(image, 0, 0);
  return `url(${canvas.toDataURL()}) ${Math.min(x, width - 1)} ${Math.min(y, height - 1)}, default`;
}

/** Red, green, blue and how much of it. What inverts the screen, no browser can: it is black. */
function pixel(body: DataView, row: number, across: number, bits: number, clear: boolean): number[] {
  if (bits === 1) {
    const white = (body.getUint8(row + (across >> 3)) & (0x80 >> (across & 7))) !== 0;
    return clear && !white ? [0, 0, 0, 0] : clear ? [0, 0, 0, 255] : white ? [255, 255, 255, 255] : [0, 0, 0, 255];
  }
  if (bits !== 24 && bits !== 32) throw new Error('its colours');
  const at = row + across * (bits / 8);
  const [blue, green, red] = [body.getUint8(at), body.getUint8(at + 1), body.getUint8(at + 2)];
  if (bits === 32) return [red, green, blue, clear && blue + green + red > 0 ? 255 : body.getUint8(at + 3)];
  if (!clear) return [red, green, blue, 255];
  return red + green + blue > 0 ? [0, 0, 0, 255] : [0, 0, 0, 0];
}

const [HIDDEN, DEFAULT, COLOURED, CACHED, NEW] = [5, 6, 9, 10, 11];
/** As many as the decoder says that it keeps, and then some. */
const MOST = 256;
const LARGEST = 96;
