// What forms choose from.
import { all } from '../lib/api';
import type { ApplicationRow, GroupRow, UserRow } from '../lib/schema';
import { seesAll } from '../lib/session.svelte';

export interface Names {
  users: string[];
  groups: string[];
  applications: string[];
  tags: string[];
}

export async function names(): Promise<Names> {
  // Who administers some sites sees no users: they name one.
  const [users, groups] = seesAll() ? await Promise.all([all<UserRow>('users'), all<GroupRow>('groups')]) : [[], []];
  const applications = await all<ApplicationRow>('applications');
  const tags = applications.flatMap((row) => Object.entries(row.tags ?? {}).map(([key, value]) => `${key}=${value}`));
  return {
    users: users.map((row) => row.name),
    groups: groups.map((row) => row.name),
    applications: applications.map((row) => `${row.name}.${row.site}`),
    tags: seesAll() ? [...new Set(tags)].sort() : [],
  };
}
