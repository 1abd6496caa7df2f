// The decoder of RDP: WebAssembly, which comes when a desktop is opened and once.
import { Backend, displayControl, enableCredssp, init } from '@devolutions/iron-remote-desktop-rdp';

export { Backend, displayControl, enableCredssp };
export type Session = Awaited<ReturnType<InstanceType<typeof Backend.SessionBuilder>['connect']>>;
export type Clip = InstanceType<typeof Backend.ClipboardData>;
export type Happening = ReturnType<typeof Backend.DeviceEvent.keyPressed>;

let ready: Promise<void> | undefined;

export const load = () => (ready ??= init('OFF'));

/** Why the decoder gave up, as it says. */
export const FAILURES = ['general', 'password', 'logon', 'denied', 'relay', 'line', 'negotiation'] as const;

export function failure(error: unknown): (typeof FAILURES)[number] {
  const kind = typeof error === 'object' && error !== null && 'kind' in error && typeof error.kind === 'function' ? Number(error.kind()) : 0;
  return FAILURES[kind] ?? 'general';
}
