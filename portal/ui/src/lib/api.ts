// The relay's API, asked with the browser's sign-in. Addresses are relative to this page.
import type { Problem } from './schema';

/** What the relay says no with. */
export class Refusal extends Error {
  constructor(readonly problem: Problem) {
    super(problem.detail);
  }
}

export type Query = Record<string, string | number | boolean | null | undefined>;

export const get = <T>(path: string, query?: Query) => call<T>('GET', path + asked(query));
export const post = <T>(path: string, body?: unknown) => call<T>('POST', path, body);
export const remove = <T>(path: string, query?: Query) => call<T>('DELETE', path + asked(query));

/** An object, and the tag by which a change says what it was made from. */
export async function tagged<T>(path: string): Promise<{ value: T; tag: string }> {
  const response = await send('GET', path);
  return { value: (await response.json()) as T, tag: response.headers.get('etag') ?? '' };
}

/** Changes what `tag` stands for, and nothing that others have changed since. */
export const change = <T>(method: 'PUT' | 'PATCH', path: string, body: unknown, tag?: string) =>
  call<T>(method, path, body, tag ? { 'if-match': tag } : {});

/** All of a list, a page at a time; for lists that a person chooses from. */
export async function all<T>(path: string, query: Query = {}): Promise<T[]> {
  const items: T[] = [];
  let cursor: string | null | undefined;
  do {
    const page: { items: T[]; next?: string | null } = await get(path, { ...query, cursor, limit: 500 });
    items.push(...page.items);
    cursor = page.next;
  } while (cursor && items.length < MOST);
  return items;
}

async function call<T>(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
  const response = await send(method, path, body, headers);
  return (await response.json()) as T;
}

async function send(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
  const json: Record<string, string> = body === undefined ? {} : { 'content-type': 'application/json' };
  let response: Response;
  try {
    response = await fetch(new URL(`api/v1/${path}`, document.baseURI), {
      method,
      headers: { ...json, ...headers },
      body: body === undefined ? null : JSON.stringify(body),
      cache: 'no-store',
    });
  } catch {
    throw new Refusal(nobody());
  }
  if (response.ok) return response;
  const problem = (await response.json().catch(() => nobody(response.status))) as Problem;
  if (response.status === 401) signIn();
  throw new Refusal(problem);
}

/** To the page that signs in, for what asks for a sign-in that was just made; and back here. */
export const signInAgain = () => signIn();

/** To the page that signs in; afterwards the portal goes on where it was. */
function signIn() {
  sessionStorage.setItem('adit.place', location.hash);
  location.assign(new URL('sign-in', document.baseURI));
}

function asked(query: Query = {}): string {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== '');
  const text = new URLSearchParams(given.map(([key, value]) => [key, String(value)])).toString();
  return text && `?${text}`;
}

/** As a part of a path. */
export const part = encodeURIComponent;

/** Where no answer of the relay's came. */
function nobody(status = 0): Problem {
  return {
    code: 'relay.failed',
    detail: 'the relay does not answer',
    hint: 'look at your network, and try again',
    request_id: '',
    status,
    title: '',
  };
}

/** More than anybody chooses from; tables go on by themselves. */
const MOST = 5000;
