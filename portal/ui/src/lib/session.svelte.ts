import { get } from './api';
import type { Info, Me } from './schema';

/** Who looks at this, and at which relay. Set before anything else is shown. */
export const session = $state<{ me?: Me; info?: Info }>({});

export async function open() {
  const [me, info] = await Promise.all([get<Me>('me'), get<Info>('info')]);
  session.me = me;
  session.info = info;
}

export const isAdmin = () => session.me?.admin ?? false;
/** Whether they administer some sites, or all. */
export const changesSites = () => isAdmin() || (session.me?.admin_of ?? []).length > 0;
export const seesAll = () => isAdmin() || (session.me?.auditor ?? false);

/** `https://relay.example.com`, with its port where that is not the usual. */
export function relayUrl(label?: string): string {
  const { domain = '', https_port = 443 } = session.info ?? {};
  return `https://${label ? `${label}.` : ''}${domain}${https_port === 443 ? '' : `:${https_port}`}`;
}
