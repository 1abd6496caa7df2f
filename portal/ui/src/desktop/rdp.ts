// The decoder of RDP: WebAssembly, which comes when a desktop is opened and once.
import { Backend, displayControl, enableCredssp, init } from '@devolutions/iron-remote-desktop-rdp';

export { Backend, displayControl, enableCredssp };
export type Session = Awaited<ReturnType<InstanceType<typeof Backend.SessionBuilder>['connect']>>;
export type Clip = InstanceType<typeof Backend.ClipboardData>;
export type Happening = ReturnType<typeof Backend.DeviceEvent.keyPressed>;

let ready: Promise<void> | undefined;

export const load = () => (ready ??= init('OFF'));

/** Opens a line by `open`, and has `hear` told what comes on it: the decoder keeps it to itself. */
export async function overheard<T>(hear: (bytes: Uint8Array) => void, open: () => Promise<T>): Promise<T> {
  const Plain = WebSocket;
  let first = true;
  class Heard extends Plain {
    constructor(url: string | URL, protocols?: string | string[]) {
      super(url, protocols);
      // What comes first is the relay's word on the line, not the target's.
      this.addEventListener('message', ({ data }) => {
        if (data instanceof ArrayBuffer && !first) hear(new Uint8Array(data));
        first = false;
      });
    }
  }
  globalThis.WebSocket = Heard;
  try {
    return await open();
  } finally {
    globalThis.WebSocket = Plain;
  }
}

/** Why the decoder gave up, as it says. */
export const FAILURES = ['general', 'password', 'logon', 'denied', 'relay', 'line', 'negotiation'] as const;

export function failure(error: unknown): (typeof FAILURES)[number] {
  const kind = typeof error === 'object' && error !== null && 'kind' in error && typeof error.kind === 'function' ? Number(error.kind()) : 0;
  return FAILURES[kind] ?? 'general';
}
