// A link to sign in with carries its code behind "#", which browsers send to nobody. It is taken
// from there, out of the address and the history, and posted. A place in the portal stands there too
// ("#/..."); the portal goes on there after the sign-in.
"use strict";
(() => {
  const form = document.querySelector("form[data-code]");
  if (!form) return;
  const take = () => {
    const code = location.hash.slice(1);
    if (!code) return;
    history.replaceState(null, "", location.pathname + location.search);
    if (code.startsWith("/")) {
      sessionStorage.setItem("adit.place", `#${code}`);
      return;
    }
    form.elements.namedItem("code").value = decodeURIComponent(code);
    form.requestSubmit();
  };
  // The link may be opened where the page is open already.
  addEventListener("hashchange", take);
  take();
})();

// A passkey: the question stands in the form, and what an authenticator answers is put there and sent.
(() => {
  if (!window.PublicKeyCredential) return;
  const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const answer = async (form) => {
    const { passkey, host, ids } = form.dataset;
    const known = ids ? ids.split(" ").map((id) => ({ type: "public-key", id: bytes(id) })) : [];
    const found = await navigator.credentials.get({
      publicKey: {
        challenge: bytes(passkey),
        rpId: host,
        allowCredentials: known,
        // By itself it has to know its user; besides a password it need not.
        userVerification: ids ? "discouraged" : "required",
      },
    });
    const fields = {
      id: found.id,
      client_data: text(found.response.clientDataJSON),
      authenticator_data: text(found.response.authenticatorData),
      signature: text(found.response.signature),
    };
    for (const [name, value] of Object.entries(fields)) form.elements.namedItem(name).value = value;
  };
  for (const form of document.querySelectorAll("form[data-passkey]")) {
    const told = form.querySelector("[role=alert]");
    form.hidden = false;
    form.addEventListener("submit", (event) => {
      if (form.elements.namedItem("signature").value) return;
      event.preventDefault();
      told.hidden = true;
      answer(form).then(() => form.requestSubmit(), () => {
        told.textContent = "No passkey was used. Try again, or sign in another way.";
        told.hidden = false;
      });
    });
  }
})();
