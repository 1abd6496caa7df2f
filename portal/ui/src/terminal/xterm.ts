// xterm.js as the portal uses it. Comes with the page of terminals only.
import '@xterm/xterm/css/xterm.css';
import { FitAddon } from '@xterm/addon-fit';
import { SearchAddon } from '@xterm/addon-search';
import { Unicode11Addon } from '@xterm/addon-unicode11';
import { WebLinksAddon } from '@xterm/addon-web-links';
import { WebglAddon } from '@xterm/addon-webgl';
import { Terminal, type ITheme } from '@xterm/xterm';
import { strictDocument, strictly } from './strict';

export type { Terminal };

export interface Parts {
  terminal: Terminal;
  fit: FitAddon;
  search: SearchAddon;
}

/** A terminal in `place`, drawn by WebGL where there is some. */
export function terminalIn(place: HTMLElement): Parts {
  const terminal = new Terminal({
    allowProposedApi: true,
    documentOverride: strictDocument(),
    fontFamily: getComputedStyle(document.documentElement).getPropertyValue('--mono'),
    fontSize: 13,
    scrollback: 5000,
    cursorBlink: false,
    minimumContrastRatio: 4.5,
    theme: shown(),
  });
  const [fit, search] = [new FitAddon(), new SearchAddon()];
  for (const addon of [fit, search, new Unicode11Addon(), new WebLinksAddon((_, link) => window.open(link, '_blank', 'noopener,noreferrer'))]) {
    terminal.loadAddon(addon);
  }
  terminal.unicode.activeVersion = '11';
  strictly(() => terminal.open(place));
  try {
    const webgl = new WebglAddon();
    // What draws without it is there already.
    webgl.onContextLoss(() => webgl.dispose());
    terminal.loadAddon(webgl);
  } catch {
    // No WebGL here.
  }
  return { terminal, fit, search };
}

/** The colours for light or dark, whichever is shown. */
export function shown(): ITheme {
  return document.documentElement.dataset.theme === 'dark' ? DARK : LIGHT;
}

const DARK: ITheme = {
  background: '#14181a', foreground: '#d9dfdf', cursor: '#d9dfdf', cursorAccent: '#14181a', selectionBackground: '#3b4a4d',
  black: '#2a3236', red: '#e06c62', green: '#7fbf7f', yellow: '#d9b36c', blue: '#6ca8dd', magenta: '#c58ed6', cyan: '#63bfb6', white: '#c8d0d0',
  brightBlack: '#6a757a', brightRed: '#f28b82', brightGreen: '#a1d8a1', brightYellow: '#f0cd8b', brightBlue: '#93c4f0',
  brightMagenta: '#dcafe9', brightCyan: '#8adad1', brightWhite: '#f2f5f5',
};
const LIGHT: ITheme = {
  background: '#ffffff', foreground: '#1b2125', cursor: '#1b2125', cursorAccent: '#ffffff', selectionBackground: '#c9dedb',
  black: '#1b2125', red: '#a3261a', green: '#1a6b35', yellow: '#7c4a03', blue: '#1f5fa8', magenta: '#7d3a93', cyan: '#0f5e57', white: '#5b656a',
  brightBlack: '#545e64', brightRed: '#b83024', brightGreen: '#1f7a3d', brightYellow: '#8a5508', brightBlue: '#2a6fc0',
  brightMagenta: '#8f46a8', brightCyan: '#136f67', brightWhite: '#3b4448',
};
