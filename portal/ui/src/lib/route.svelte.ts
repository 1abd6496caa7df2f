// Where in the portal one is stands behind "#": the relay serves one page, at whatever path.

/** `#/admin/users?prefix=a`: its parts and its parameters. */
export const route = $state({ path: '', query: new URLSearchParams() });

export function followRoute() {
  const kept = sessionStorage.getItem('adit.place');
  sessionStorage.removeItem('adit.place');
  if (kept?.startsWith('#/') && !location.hash) history.replaceState(null, '', kept);
  const read = () => {
    const [path = '', query = ''] = location.hash.replace(/^#\/?/, '').split('?');
    route.path = path;
    route.query = new URLSearchParams(query);
  };
  addEventListener('hashchange', read);
  read();
}

export function go(path: string) {
  location.hash = `/${path}`;
}
