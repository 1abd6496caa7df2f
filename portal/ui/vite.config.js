import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

export default defineConfig({
  // Relative, so that the portal works below any path.
  base: './',
  plugins: [svelte(), unpacked(), compressed()],
  build: {
    target: 'es2022',
    // Fonts and pictures are files: the relay's policy takes nothing that is written into a page.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    rolldownOptions: { input: ['index.html', 'desktop.html'] },
  },
  server: { proxy: proxied(process.env.ADIT_RELAY) },
});

/** The decoder of RDP comes with its WebAssembly written into a script; here it is a file of its own. */
function unpacked() {
  const written = /"data:application\/wasm;base64,([A-Za-z0-9+/=]+)"/;
  return {
    name: 'unpacked',
    apply: 'build',
    transform(code, id) {
      if (!id.endsWith('/iron-remote-desktop-rdp.js')) return null;
      const found = written.exec(code);
      if (!found) this.error('the decoder of RDP has no WebAssembly in it');
      const file = this.emitFile({ type: 'asset', name: 'rdp.wasm', source: Buffer.from(found[1], 'base64') });
      return { code: code.replace(found[0], () => `import.meta.ROLLUP_FILE_URL_${file}`), map: null };
    },
  };
}

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
          const forms = { br: brotliCompressSync(bytes, { params: most }) };
          // Every browser that runs WebAssembly takes brotli.
          if (!fileName.endsWith('.wasm')) forms.gz = gzipSync(bytes, { level: 9 });
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
