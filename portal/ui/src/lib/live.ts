// Looks again every so often, as long as somebody is there to see it: a page that nobody looks at must
// not keep its sign-in from ending.

/** Runs `look` now and then; returns what ends that. */
export function live(look: () => unknown, every = 2000): () => void {
  let touched = Date.now();
  const touch = () => {
    touched = Date.now();
  };
  const timer = setInterval(() => {
    if (!document.hidden && Date.now() - touched < PRESENT) look();
  }, every);
  for (const event of SIGNS) addEventListener(event, touch, { passive: true });
  return () => {
    clearInterval(timer);
    for (const event of SIGNS) removeEventListener(event, touch);
  };
}

const SIGNS = ['pointermove', 'keydown', 'scroll', 'focus'];
/** After the last sign of somebody. */
const PRESENT = 10 * 60_000;
