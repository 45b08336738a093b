/* Small helpers of the page: the conversation in the address, folding on narrow screens. */
window.luthier = {
  /* The address names the conversation: a reload, a bookmark and a second window find it. */
  thread() {
    return new URLSearchParams(location.search).get("thread") || this.fresh();
  },
  fresh() {
    const bytes = crypto.getRandomValues(new Uint8Array(8));
    const id = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    this.arrive(id);
    return id;
  },
  arrive(id) {
    if (!id) return;
    const address = new URL(location.href);
    if (address.searchParams.get("thread") !== id) {
      address.searchParams.set("thread", id);
      history.replaceState(null, "", address);
    }
    this.focusInput();
  },
  focusInput() {
    setTimeout(() => document.querySelector("#ask textarea")?.focus({ preventScroll: true }), 60);
  },
  /* Keys decide on a pair only where nothing is being typed. */
  leaveInput() {
    setTimeout(() => {
      if (document.querySelector("#ballot .ballot")) document.activeElement?.blur();
    }, 60);
  },
  show(id) {
    document.getElementById(id)?.scrollIntoView({ behavior: "smooth", block: "nearest" });
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
