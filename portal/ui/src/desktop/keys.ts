// Keys by where they are, as a browser names them, and as RDP numbers them (set 1, from 0xE000 on with
// its prefix). What they mean is the layout of the desktop.

const ROWS: [number, string][] = [
  [0x01, 'Escape Digit1 Digit2 Digit3 Digit4 Digit5 Digit6 Digit7 Digit8 Digit9 Digit0 Minus Equal Backspace'],
  [0x0f, 'Tab KeyQ KeyW KeyE KeyR KeyT KeyY KeyU KeyI KeyO KeyP BracketLeft BracketRight Enter'],
  [0x1d, 'ControlLeft KeyA KeyS KeyD KeyF KeyG KeyH KeyJ KeyK KeyL Semicolon Quote Backquote'],
  [0x2a, 'ShiftLeft Backslash KeyZ KeyX KeyC KeyV KeyB KeyN KeyM Comma Period Slash ShiftRight NumpadMultiply'],
  [0x38, 'AltLeft Space CapsLock F1 F2 F3 F4 F5 F6 F7 F8 F9 F10 NumLock ScrollLock'],
  [0x47, 'Numpad7 Numpad8 Numpad9 NumpadSubtract Numpad4 Numpad5 Numpad6 NumpadAdd Numpad1 Numpad2 Numpad3 Numpad0 NumpadDecimal'],
  [0x56, 'IntlBackslash F11 F12'],
  [0x64, 'F13 F14 F15 F16 F17 F18 F19 F20 F21 F22 F23'],
  [0x70, 'KanaMode'], [0x73, 'IntlRo'], [0x79, 'Convert'], [0x7b, 'NonConvert'], [0x7d, 'IntlYen'],
  [0xe01c, 'NumpadEnter ControlRight'], [0xe035, 'NumpadDivide'], [0xe037, 'PrintScreen AltRight'],
  [0xe047, 'Home ArrowUp PageUp'], [0xe04b, 'ArrowLeft'], [0xe04d, 'ArrowRight'],
  [0xe04f, 'End ArrowDown PageDown Insert Delete'], [0xe05b, 'MetaLeft MetaRight ContextMenu'],
  [0xe020, 'AudioVolumeMute'], [0xe02e, 'AudioVolumeDown'], [0xe030, 'AudioVolumeUp'],
];

export const SCANCODES: ReadonlyMap<string, number> = new Map(
  ROWS.flatMap(([first, names]) => names.split(' ').map((name, n): [string, number] => [name, first + n])),
);

const NAMES = new Map([...SCANCODES].map(([name, code]) => [code, name.replace(/^(Key|Digit)/, '')]));

/** What is written on a key, where its layout is that of most. */
export const nameOf = (code: number): string => NAMES.get(code) ?? `#${code.toString(16)}`;

/** Keys that belong to a combination, which only numbers can make. */
export const CONTROL_ALT_DELETE = ['ControlLeft', 'AltLeft', 'Delete'];
export const WINDOWS = ['MetaLeft'];
