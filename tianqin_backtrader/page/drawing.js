// What all charts of the page share.
window.drawing = (function () {
  "use strict";
  var root = document.documentElement;

  function colour(name) {
    return getComputedStyle(root).getPropertyValue("--" + name).trim();
  }

  function grouped(value, decimals) {
    return value.toLocaleString("en-US", {
      minimumFractionDigits: decimals, maximumFractionDigits: decimals,
    });
  }

  function two(number) {
    return String(number).padStart(2, "0");
  }

  // A trading day is text or an object, a moment is seconds of Beijing time read as UTC.
  function parts(time) {
    if (typeof time === "number") {
      var at = new Date(time * 1000);
      return {
        day: at.getUTCFullYear() + "-" + two(at.getUTCMonth() + 1) + "-" + two(at.getUTCDate()),
        clock: two(at.getUTCHours()) + ":" + two(at.getUTCMinutes()),
      };
    }
    var day = typeof time === "string" ? time
      : time.year + "-" + two(time.month) + "-" + two(time.day);
    return { day: day, clock: "" };
  }

  function said(time) {
    var found = parts(time);
    return (found.day + " " + found.clock).trim();
  }

  function tick(time, type) {
    var found = parts(time);
    if (type === 0) return found.day.slice(0, 4);
    return type <= 2 ? found.day.slice(5) : found.clock;
  }

  function colours() {
    return {
      layout: {
        background: { type: "solid", color: "transparent" },
        textColor: colour("soft"),
        fontFamily: getComputedStyle(document.body).fontFamily,
      },
      grid: { vertLines: { color: colour("line") }, horzLines: { color: colour("line") } },
      rightPriceScale: { borderColor: colour("line"), entireTextOnly: true },
      timeScale: { borderColor: colour("line") },
    };
  }

  function made(id, withTime) {
    var chart = window.LightweightCharts.createChart(document.getElementById(id), {
      autoSize: true,
      localization: { locale: "en-US", timeFormatter: said },
      timeScale: {
        timeVisible: withTime, secondsVisible: false, minBarSpacing: 0.02,
        tickMarkFormatter: tick, rightOffset: 1, lockVisibleTimeRangeOnResize: true,
      },
      handleScroll: { mouseWheel: false, vertTouchDrag: false },
      handleScale: { mouseWheel: false },
    });
    chart.applyOptions(colours());
    return chart;
  }

  // Bars from first to last, with room for half a label of the axis before them.
  function view(chart, first, last) {
    var wide = Math.max(300, chart.chartElement().parentNode.clientWidth);
    var count = last - first + 1;
    chart.timeScale().setVisibleLogicalRange({
      from: first - 0.5 - 24 * count / wide, to: last + 0.5 + count / 40,
    });
  }

  function amounts(formatter) {
    return { type: "custom", minMove: 0.01, formatter: formatter };
  }

  return {
    data: JSON.parse(document.getElementById("data").textContent),
    charts: [], // each with a function that paints it in the colours of the day or of the night
    colour: colour, colours: colours, grouped: grouped, parts: parts, said: said,
    made: made, view: view, amounts: amounts,
  };
})();
