/* Small helpers of the page: the conversation in the address, folding on narrow screens. */
window.luthier = {
  thread() {
    return new URLSearchParams(location.search).get("thread") || "";
  },
  remember(id) {
    const address = new URL(location.href);
    if (!id || address.searchParams.get("thread") === id) return;
    address.searchParams.set("thread", id);
    history.replaceState(null, "", address);
  },
  forget() {
    const address = new URL(location.href);
    address.searchParams.delete("thread");
    history.replaceState(null, "", address);
  },
  focusInput() {
    setTimeout(() => document.querySelector("#ask textarea")?.focus(), 60);
  },
  openTab(id) {
    document.querySelector(`#${id}-button`)?.click();
  },
};

/* A click on anything that carries data-fold opens or closes the part it names. */
document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-fold]");
  if (!button) return;
  const part = document.getElementById(button.dataset.fold);
  if (!part) return;
  const open = part.classList.toggle("unfolded");
  button.setAttribute("aria-expanded", String(open));
});
