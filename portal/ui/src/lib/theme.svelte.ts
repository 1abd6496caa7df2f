// Light or dark: as the system says, or as the switch does; the latter is kept in this browser.

export type Theme = 'system' | 'light' | 'dark';

export const theme = $state<{ chosen: Theme }>({ chosen: 'system' });
const dark = matchMedia('(prefers-color-scheme: dark)');

export function followTheme() {
  const kept = localStorage.getItem(KEY);
  if (kept === 'light' || kept === 'dark') theme.chosen = kept;
  dark.addEventListener('change', show);
  show();
}

export function choose(chosen: Theme) {
  theme.chosen = chosen;
  if (chosen === 'system') localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, chosen);
  show();
}

function show() {
  const shown = theme.chosen === 'system' ? (dark.matches ? 'dark' : 'light') : theme.chosen;
  document.documentElement.dataset.theme = shown;
}

const KEY = 'adit.theme';
