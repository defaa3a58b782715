// Before anything is painted: language and colours, as asked for in the address (?lang=zh,
// ?theme=dark), else as the browser says.
(function () {
  "use strict";
  var root = document.documentElement;
  var asked = new URLSearchParams(location.search);
  var known = root.dataset.languages.split(" ");
  var spoken = (navigator.language || "").slice(0, 2);
  var lang = [asked.get("lang"), spoken, known[0]].find(function (each) {
    return known.includes(each);
  });
  var dark = window.matchMedia && matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.lang = lang;
  root.lang = lang === "zh" ? "zh-CN" : "en";
  root.dataset.theme = asked.get("theme") || (dark ? "dark" : "light");
})();
