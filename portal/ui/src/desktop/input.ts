// What a person does with keyboard and mouse, as a desktop is told of it.
import { SCANCODES } from './keys';
import { Backend, type Happening, type Session } from './rdp';

interface Ways {
  session: () => Session | undefined;
  /** Whether characters are sent as they are, whatever the layout of the desktop is. */
  asText: () => boolean;
  /** The person wants out. */
  leave: () => void;
}

/** Listens to a canvas until it is gone. */
export function listen(canvas: HTMLCanvasElement, { session, asText, leave }: Ways) {
  const { DeviceEvent } = Backend;
  const tell = (...happenings: Happening[]) => send(session(), happenings);
  const at = (event: MouseEvent) => {
    const { width, height } = canvas.getBoundingClientRect();
    const place = (offset: number, shown: number, all: number) => Math.max(0, Math.min(all - 1, Math.round((offset * all) / (shown || 1))));
    return DeviceEvent.mouseMove(place(event.offsetX, width, canvas.width), place(event.offsetY, height, canvas.height));
  };
  const locks = (event: KeyboardEvent | MouseEvent) => {
    const on = (key: string) => event.getModifierState(key);
    session()?.synchronizeLockKeys(on('ScrollLock'), on('NumLock'), on('CapsLock'), on('KanaMode'));
  };
  const key = (event: KeyboardEvent, pressed: boolean) => {
    // Else nobody without a mouse would come out.
    if (event.ctrlKey && event.code === 'F6') return pressed && leave();
    event.preventDefault();
    const code = SCANCODES.get(event.code);
    const plain = event.key.length === 1 && !event.ctrlKey && !event.altKey && !event.metaKey;
    const text = event.key.length === 1 && (code === undefined || (asText() && plain));
    if (text) tell(pressed ? DeviceEvent.unicodePressed(event.key) : DeviceEvent.unicodeReleased(event.key));
    else if (code !== undefined) tell(pressed ? DeviceEvent.keyPressed(code) : DeviceEvent.keyReleased(code));
    if (!pressed && event.code.endsWith('Lock')) locks(event);
  };
  const button = (event: PointerEvent, pressed: boolean) => {
    event.preventDefault();
    if (pressed) {
      canvas.focus();
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
  canvas.addEventListener('pointerenter', locks, { signal });
  canvas.addEventListener('wheel', wheel, { signal, passive: false });
  canvas.addEventListener('contextmenu', (event) => event.preventDefault(), { signal });
  canvas.addEventListener('blur', () => session()?.releaseAllInputs(), { signal });
  return { destroy: () => heard.abort() };
}

/** Presses keys together, and lets them go. */
export function press(session: Session | undefined, names: string[]) {
  const codes = names.map((name) => SCANCODES.get(name) ?? 0);
  const { DeviceEvent } = Backend;
  send(session, [...codes.map((code) => DeviceEvent.keyPressed(code)), ...codes.map((code) => DeviceEvent.keyReleased(code))]);
}

function send(session: Session | undefined, happenings: Happening[]) {
  if (!session) return;
  const all = new Backend.InputTransaction();
  for (const happening of happenings) all.addEvent(happening);
  session.applyInputs(all);
}
