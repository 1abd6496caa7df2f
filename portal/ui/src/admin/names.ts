// What forms choose from.
import { all } from '../lib/api';
import type { ApplicationRow, GroupRow, UserRow } from '../lib/schema';

export interface Names {
  users: string[];
  groups: string[];
  applications: string[];
  tags: string[];
}

export async function names(): Promise<Names> {
  const [users, groups, applications] = await Promise.all([all<UserRow>('users'), all<GroupRow>('groups'), all<ApplicationRow>('applications')]);
  const tags = applications.flatMap((row) => Object.entries(row.tags ?? {}).map(([key, value]) => `${key}=${value}`));
  return {
    users: users.map((row) => row.name),
    groups: groups.map((row) => row.name),
    applications: applications.map((row) => `${row.name}.${row.site}`),
    tags: [...new Set(tags)].sort(),
  };
}
