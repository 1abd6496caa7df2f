/** In the page: asks for tickets, and speaks RDCleanPath by hand. */
export function prepare() {
  const json = async (response) => response.json();
  globalThis.offer = async (application) => json(await fetch('api/v1/me/desktops', {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ application }),
  }));
  globalThis.how = async (id) => json(await fetch(`api/v1/me/desktops/${id}`));
  // The end of it, or where `whole` is not asked for, that it is open.
  globalThis.ask = (ticket, whole = false) => new Promise((resolve) => {
    const socket = new WebSocket(new URL('api/v1/me/desktop', location.href.replace('https', 'wss')));
    socket.binaryType = 'arraybuffer';
    let status;
    let open = false;
    socket.onopen = () => socket.send(request(ticket));
    socket.onmessage = ({ data }) => {
      const bytes = new Uint8Array(data);
      // 0xa1 has an error, whose second field is an HTTP status.
      const at = bytes.findIndex((byte, n) => byte === 0xa1 && bytes[n + 2] === 0x02 && bytes[n + 3] === 2);
      if (at >= 0) status = bytes[at + 4] * 256 + bytes[at + 5];
      else if (whole) open ||= bytes.length > 200;
      else resolve({ open: bytes.length > 500 });
    };
    socket.onclose = ({ reason }) => {
      if (status === undefined) globalThis.firstClosed ??= reason;
      resolve(whole ? { closed: reason, open } : { status, closed: reason });
    };
  });
  globalThis.firstClosed = undefined;
  function request(ticket) {
    const der = (tag, content) => [tag, ...(content.length < 128 ? [content.length] : [0x81, content.length]), ...content];
    const text = (value) => der(0x0c, [...new TextEncoder().encode(value)]);
    const frame = [3, 0, 0, 19, 14, 0xe0, 0, 0, 0, 0, 0, 1, 0, 8, 0, 3, 0, 0, 0];
    const fields = [
      der(0xa0, der(2, [0x0d, 0x3e])), der(0xa2, text('10.0.0.1:3389')), der(0xa3, text(ticket)), der(0xa6, der(4, frame)),
    ];
    return new Uint8Array(der(0x30, fields.flat()));
  }
}
