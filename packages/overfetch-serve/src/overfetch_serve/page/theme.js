// Before anything is painted. A script of its own, since modules run late.
(() => {
  const kept = localStorage.getItem("overfetch.theme");
  if (kept) document.documentElement.dataset.theme = kept;
})();
