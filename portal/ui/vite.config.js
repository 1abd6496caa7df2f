import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

export default defineConfig({
  // Relative, so that the portal works below any path.
  base: './',
  plugins: [svelte(), compressed()],
  build: {
    target: 'es2022',
    // Fonts and pictures are files: the relay's policy takes nothing that is written into a page.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: { proxy: proxied(process.env.ADIT_RELAY) },
});

/** Beside each file the same with brotli and gzip, for the relay to pick from. */
function compressed() {
  return {
    name: 'compressed',
    apply: 'build',
    enforce: 'post',
    generateBundle: {
      order: 'post',
      handler(_, bundle) {
        for (const [fileName, one] of Object.entries(bundle)) {
          const bytes = Buffer.from(one.type === 'chunk' ? one.code : one.source);
          const most = { [constants.BROTLI_PARAM_QUALITY]: 11 };
          const forms = { br: brotliCompressSync(bytes, { params: most }), gz: gzipSync(bytes, { level: 9 }) };
          for (const [end, source] of Object.entries(forms)) {
            if (source.length < bytes.length) this.emitFile({ type: 'asset', fileName: `${fileName}.${end}`, source });
          }
        }
      },
    },
  };
}

/** `ADIT_RELAY=https://localhost:18443 npm run dev`: the pages from here, the rest from there. */
function proxied(relay) {
  if (!relay) return {};
  return Object.fromEntries(['/api', '/sign-in', '/sign-out', '/go', '/.adit'].map((path) => [path, { target: relay, secure: false }]));
}
