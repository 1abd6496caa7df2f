// Layouts of keyboards as Windows numbers them. A desktop is told which one its user has, as other
// clients tell it: keys are sent by where they are, so what they mean is decided there.

export interface Layout {
  id: number;
  name: string;
  /** Of whom it is guessed where the browser does not say what its keys are. */
  tongue: string;
  /** What some of its keys are, by which it is told from the others: `KeyY=z`. */
  marks: string;
}

export const LAYOUTS: Layout[] = [
  { id: 0x80c, name: 'Belgian (French)', tongue: 'fr-BE', marks: 'KeyQ=a Semicolon=m Equal=-' },
  { id: 0x416, name: 'Brazilian', tongue: 'pt-BR', marks: 'Semicolon=ç Slash=;' },
  { id: 0x41a, name: 'Croatian', tongue: 'hr', marks: 'KeyY=z Semicolon=č' },
  { id: 0x405, name: 'Czech', tongue: 'cs', marks: 'KeyY=z Semicolon=ů' },
  { id: 0x406, name: 'Danish', tongue: 'da', marks: 'Semicolon=æ Quote=ø' },
  { id: 0x809, name: 'English (UK)', tongue: 'en-GB', marks: 'KeyQ=q KeyY=y Semicolon=; Backslash=#' },
  { id: 0x409, name: 'English (US)', tongue: 'en', marks: 'KeyQ=q KeyY=y Semicolon=; BracketLeft=[ Backslash=\\' },
  { id: 0x40c, name: 'French', tongue: 'fr', marks: 'KeyQ=a Semicolon=m Equal==' },
  { id: 0x407, name: 'German', tongue: 'de', marks: 'KeyY=z Semicolon=ö Minus=ß' },
  { id: 0x408, name: 'Greek', tongue: 'el', marks: 'KeyA=α KeyS=σ' },
  { id: 0x40e, name: 'Hungarian', tongue: 'hu', marks: 'KeyY=z Semicolon=é Quote=á' },
  { id: 0x410, name: 'Italian', tongue: 'it', marks: 'Semicolon=ò Quote=à' },
  { id: 0x411, name: 'Japanese', tongue: 'ja', marks: 'BracketLeft=@ Semicolon=;' },
  { id: 0x412, name: 'Korean', tongue: 'ko', marks: '' },
  { id: 0x414, name: 'Norwegian', tongue: 'nb', marks: 'Semicolon=ø Quote=æ' },
  { id: 0x415, name: 'Polish', tongue: 'pl', marks: '' },
  { id: 0x816, name: 'Portuguese', tongue: 'pt', marks: 'Semicolon=ç Slash=-' },
  { id: 0x419, name: 'Russian', tongue: 'ru', marks: 'KeyQ=й KeyS=ы' },
  { id: 0x41b, name: 'Slovak', tongue: 'sk', marks: 'KeyY=z Semicolon=ô' },
  { id: 0x40a, name: 'Spanish', tongue: 'es', marks: 'Semicolon=ñ Backslash=ç' },
  { id: 0x80a, name: 'Spanish (Latin America)', tongue: 'es-MX', marks: 'Semicolon=ñ Backslash=}' },
  { id: 0x41d, name: 'Swedish, Finnish', tongue: 'sv', marks: 'KeyY=y Semicolon=ö BracketLeft=å' },
  { id: 0x100c, name: 'Swiss French', tongue: 'fr-CH', marks: 'KeyY=z Semicolon=é Quote=à' },
  { id: 0x807, name: 'Swiss German', tongue: 'de-CH', marks: "KeyY=z Semicolon=ö Minus='" },
  { id: 0x41f, name: 'Turkish', tongue: 'tr', marks: 'Semicolon=ş Quote=i' },
  { id: 0x422, name: 'Ukrainian', tongue: 'uk', marks: 'KeyQ=й KeyS=і' },
];

/** The desktop's own. */
export const NONE = 0;

/** The layout that was chosen in this browser, or that its keyboard seems to have. */
export async function layout(): Promise<number> {
  const chosen = localStorage.getItem(KEPT);
  return chosen === null ? guess(await keys(), navigator.language) : Number(chosen) || NONE;
}

export const choose = (id: number) => localStorage.setItem(KEPT, String(id));

function guess(keys: ReadonlyMap<string, string> | undefined, language: string): number {
  if (keys && keys.size > 0) {
    const all = LAYOUTS.filter(({ marks }) => marks !== '' && marks.split(' ').every((mark) => keys.get(mark.slice(0, mark.indexOf('='))) === mark.slice(mark.indexOf('=') + 1)));
    // A keyboard that is none of these is left to the desktop, but for those that differ from another in
    // what stands beside their letters only.
    const [found] = all;
    const plain = LAYOUTS.find(({ marks, tongue }) => marks === '' && language.startsWith(tongue));
    return (found?.id === US ? (plain ?? found) : found)?.id ?? NONE;
  }
  const whole = LAYOUTS.find(({ tongue }) => tongue === language);
  return (whole ?? LAYOUTS.find(({ tongue }) => tongue === language.split('-')[0]))?.id ?? NONE;
}

/** What a browser says of its keys, where it says something. */
async function keys(): Promise<ReadonlyMap<string, string> | undefined> {
  try {
    return await (navigator as { keyboard?: { getLayoutMap?: () => Promise<ReadonlyMap<string, string>> } }).keyboard?.getLayoutMap?.();
  } catch {
    return undefined;
  }
}

const US = 0x409;
const KEPT = 'adit.desktop.layout';
