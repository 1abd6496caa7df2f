// A terminal as a picture. xterm keeps the screen; it is drawn here, because what draws it there writes
// styles into the page, which the relay's policy forbids.
import { Terminal } from '@xterm/headless';

export class Screen {
  #terminal: Terminal;
  #pen: CanvasRenderingContext2D | null;
  #cell = { width: 8, height: 17 };

  constructor(readonly canvas: HTMLCanvasElement, columns: number, rows: number) {
    this.#terminal = new Terminal({ cols: columns, rows, allowProposedApi: true, scrollback: 0 });
    this.#pen = canvas.getContext('2d');
    if (this.#pen) this.#pen.font = FONT;
    this.#cell.width = this.#pen?.measureText('M').width ?? 8;
    this.#fit();
  }

  write(text: string): Promise<void> {
    return new Promise((done) => this.#terminal.write(text, done));
  }

  resize(columns: number, rows: number) {
    if (columns === 0 || rows === 0) return;
    this.#terminal.resize(Math.max(2, columns), rows);
    this.#fit();
  }

  reset() {
    this.#terminal.reset();
  }

  /** What it shows, as text. */
  text(): string {
    const buffer = this.#terminal.buffer.active;
    const lines = Array.from({ length: this.#terminal.rows }, (_, y) => buffer.getLine(buffer.viewportY + y)?.translateToString(true) ?? '');
    return lines.join('\n').trimEnd();
  }

  draw() {
    const pen = this.#pen;
    if (!pen) return;
    const { width, height } = this.#cell;
    pen.fillStyle = GROUND;
    pen.fillRect(0, 0, this.canvas.width, this.canvas.height);
    const buffer = this.#terminal.buffer.active;
    const cell = buffer.getNullCell();
    for (let y = 0; y < this.#terminal.rows; y++) {
      const line = buffer.getLine(buffer.viewportY + y);
      for (let x = 0; line && x < this.#terminal.cols; x++) {
        if (!line.getCell(x, cell) || cell.getWidth() === 0) continue;
        let ink = colour(cell.isFgRGB(), cell.isFgPalette(), cell.getFgColor(), INK, cell.isBold() > 0);
        let ground = colour(cell.isBgRGB(), cell.isBgPalette(), cell.getBgColor(), GROUND, false);
        if (cell.isInverse()) [ink, ground] = [ground, ink];
        if (ground !== GROUND) {
          pen.fillStyle = ground;
          pen.fillRect(x * width, y * height, cell.getWidth() * width, height);
        }
        const chars = cell.getChars();
        if (!chars || chars === ' ' || cell.isInvisible()) continue;
        pen.font = `${cell.isItalic() ? 'italic ' : ''}${cell.isBold() ? '700 ' : ''}${FONT}`;
        pen.fillStyle = ink;
        pen.fillText(chars, x * width, y * height + height - 4);
        if (cell.isUnderline()) pen.fillRect(x * width, y * height + height - 2, cell.getWidth() * width, 1);
      }
    }
    pen.fillStyle = INK;
    pen.globalAlpha = 0.5;
    pen.fillRect(buffer.cursorX * width, buffer.cursorY * height, width, height);
    pen.globalAlpha = 1;
  }

  #fit() {
    const scale = devicePixelRatio || 1;
    const [width, height] = [this.#terminal.cols * this.#cell.width, this.#terminal.rows * this.#cell.height];
    Object.assign(this.canvas, { width: Math.ceil(width * scale), height: Math.ceil(height * scale) });
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${height}px`;
    this.#pen?.setTransform(scale, 0, 0, scale, 0, 0);
  }
}

function colour(rgb: boolean, palette: boolean, value: number, usual: string, bold: boolean): string {
  if (rgb) return `#${value.toString(16).padStart(6, '0')}`;
  if (!palette) return usual;
  if (value < 16) return BASE[bold && value < 8 ? value + 8 : value] ?? usual;
  if (value >= 232) return grey(8 + (value - 232) * 10);
  const [r, g, b] = [Math.floor((value - 16) / 36), Math.floor((value - 16) / 6) % 6, (value - 16) % 6].map((n) => (n ? 55 + n * 40 : 0));
  return `rgb(${r} ${g} ${b})`;
}

const grey = (n: number) => `rgb(${n} ${n} ${n})`;
const GROUND = '#14181a';
const INK = '#d9dfdf';
const FONT = '13px ui-monospace, "SF Mono", "Cascadia Code", Menlo, Consolas, "DejaVu Sans Mono", monospace';
const BASE = [
  '#2a3236', '#e06c62', '#7fbf7f', '#d9b36c', '#6ca8dd', '#c58ed6', '#63bfb6', '#c8d0d0',
  '#6a757a', '#f28b82', '#a1d8a1', '#f0cd8b', '#93c4f0', '#dcafe9', '#8adad1', '#f2f5f5',
];
