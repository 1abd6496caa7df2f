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
