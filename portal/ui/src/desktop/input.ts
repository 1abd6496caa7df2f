// What a person does with keyboard and mouse, as a desktop is told of it.
import { SCANCODES } from './keys';
import { Backend, type Happening, type Session } from './rdp';

interface Ways {
  session: () => Session | undefined;
  /** Has keys come to where they are listened to. */
  focus: () => void;
  /** The person wants out. */
  leave: () => void;
}

/** Listens to what is pointed at on a canvas, and to the keys there, until it is gone. */
export function listen(canvas: HTMLCanvasElement, { session, focus, leave }: Ways) {
  const { DeviceEvent } = Backend;
  const tell = (...happenings: Happening[]) => tellAll(session(), happenings);
  const at = (event: MouseEvent) => {
    const { width, height } = canvas.getBoundingClientRect();
    const place = (offset: number, shown: number, all: number) => Math.max(0, Math.min(all - 1, Math.round((offset * all) / (shown || 1))));
    return DeviceEvent.mouseMove(place(event.offsetX, width, canvas.width), place(event.offsetY, height, canvas.height));
  };
  const key = (event: KeyboardEvent, pressed: boolean) => {
    if (leaves(event)) return pressed && leave();
    event.preventDefault();
    if (SCANCODES.has(event.code)) stroke(session(), event, pressed);
    else if ([...event.key].length === 1) tell(pressed ? DeviceEvent.unicodePressed(event.key) : DeviceEvent.unicodeReleased(event.key));
  };
  const button = (event: PointerEvent, pressed: boolean) => {
    event.preventDefault();
    if (pressed) {
      focus();
      canvas.setPointerCapture(event.pointerId);
    }
    tell(at(event), pressed ? DeviceEvent.mouseButtonPressed(event.button) : DeviceEvent.mouseButtonReleased(event.button));
  };
  const wheel = (event: WheelEvent) => {
    event.preventDefault();
    const down = event.deltaY !== 0;
    tell(DeviceEvent.wheelRotations(down, -(down ? event.deltaY : event.deltaX), event.deltaMode));
  };
  const heard = new AbortController();
  const { signal } = heard;
  canvas.addEventListener('keydown', (event) => key(event, true), { signal });
  canvas.addEventListener('keyup', (event) => key(event, false), { signal });
  canvas.addEventListener('pointermove', (event) => tell(at(event)), { signal });
  canvas.addEventListener('pointerdown', (event) => button(event, true), { signal });
  canvas.addEventListener('pointerup', (event) => button(event, false), { signal });
  canvas.addEventListener('pointerenter', (event) => locks(session(), event), { signal });
  canvas.addEventListener('wheel', wheel, { signal, passive: false });
  canvas.addEventListener('contextmenu', (event) => event.preventDefault(), { signal });
  canvas.addEventListener('blur', () => session()?.releaseAllInputs(), { signal });
  return { destroy: () => heard.abort() };
}

/**
 * Listens to a field for text, whose characters go to the desktop as they are, whatever its layout: also
 * those that several keys, a list or another program make. Keys that make none are sent as they are.
 */
export function write(field: HTMLTextAreaElement, { session, leave }: Ways) {
  const { DeviceEvent } = Backend;
  const pressed = new Set<string>();
  const down = (event: KeyboardEvent) => {
    if (leaves(event)) return leave();
    // It has made what it is part of.
    if (event.key === 'AltGraph') return stroke(session(), { ...nameless, code: 'ControlLeft' }, false);
    if (makesText(event)) return;
    event.preventDefault();
    pressed.add(event.code);
    stroke(session(), event, true);
  };
  const up = (event: KeyboardEvent) => {
    if (pressed.delete(event.code)) stroke(session(), event, false);
  };
  const send = () => {
    const text = [...field.value];
    field.value = '';
    tellAll(session(), text.flatMap((one) => [DeviceEvent.unicodePressed(one), DeviceEvent.unicodeReleased(one)]));
  };
  const heard = new AbortController();
  const { signal } = heard;
  field.addEventListener('keydown', down, { signal });
  field.addEventListener('keyup', up, { signal });
  // What is still being put together is seen here, and only then there.
  field.addEventListener('input', (event) => { if (!(event as InputEvent).isComposing) send(); }, { signal });
  field.addEventListener('compositionend', send, { signal });
  field.addEventListener('blur', () => { pressed.clear(); session()?.releaseAllInputs(); }, { signal });
  return { destroy: () => heard.abort() };
}

/** Whether a field for text makes something of it. */
function makesText(event: KeyboardEvent) {
  if (event.isComposing || ['Dead', 'Process', 'Compose', 'Unidentified'].includes(event.key)) return true;
  // Some systems have AltGr as Control and Alt.
  const held = (event.ctrlKey || event.altKey || event.metaKey) && !event.getModifierState('AltGraph');
  return [...event.key].length === 1 && !held;
}

/** Else nobody without a mouse would come out. */
const leaves = (event: KeyboardEvent) => event.ctrlKey && event.code === 'F6';

/** A key, by where it is. */
function stroke(session: Session | undefined, event: Pick<KeyboardEvent, 'code' | 'key' | 'getModifierState'>, pressed: boolean) {
  const code = SCANCODES.get(event.code);
  if (code === undefined) return;
  const { DeviceEvent } = Backend;
  // With AltGr some systems press a Control that nobody has pressed.
  const ghost = pressed && event.key === 'AltGraph' ? [DeviceEvent.keyReleased(SCANCODES.get('ControlLeft') ?? 0)] : [];
  tellAll(session, [...ghost, pressed ? DeviceEvent.keyPressed(code) : DeviceEvent.keyReleased(code)]);
  if (!pressed && event.code.endsWith('Lock')) locks(session, event);
}

function locks(session: Session | undefined, event: Pick<KeyboardEvent | MouseEvent, 'getModifierState'>) {
  const on = (key: string) => event.getModifierState(key);
  session?.synchronizeLockKeys(on('ScrollLock'), on('NumLock'), on('CapsLock'), on('KanaMode'));
}

const nameless = { key: '', getModifierState: () => false };

/** Presses keys together, and lets them go. */
export function press(session: Session | undefined, names: string[]) {
  const codes = names.map((name) => SCANCODES.get(name) ?? 0);
  const { DeviceEvent } = Backend;
  tellAll(session, [...codes.map((code) => DeviceEvent.keyPressed(code)), ...codes.map((code) => DeviceEvent.keyReleased(code))]);
}

function tellAll(session: Session | undefined, happenings: Happening[]) {
  if (!session) return;
  const all = new Backend.InputTransaction();
  for (const happening of happenings) all.addEvent(happening);
  session.applyInputs(all);
}
