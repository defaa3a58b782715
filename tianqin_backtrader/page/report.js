// Prices with the trades on them, and what the buttons do.
(function () {
  "use strict";
  var root = document.documentElement;
  var draw = window.drawing, data = draw.data, charts = draw.charts;
  var colour = draw.colour, colours = draw.colours, grouped = draw.grouped, parts = draw.parts;
  var said = draw.said, made = draw.made, view = draw.view, amounts = draw.amounts;

  var prices = null;

  function candle(row) {
    return { time: row[0], open: row[1], high: row[2], low: row[3], close: row[4] };
  }

  function mark(row, many) {
    var buys = row[1] === 1;
    return {
      time: row[0], position: buys ? "belowBar" : "aboveBar",
      shape: buys ? "arrowUp" : "arrowDown",
      color: row[2] ? colour(buys ? "up" : "down") : colour("grey"),
      text: many ? "" : String(row[3]),
    };
  }

  function showDays(days) {
    var rows = prices.contract.candles;
    var last = rows.length - 1, first = 0;
    if (days && last >= 0) {
      var dates = new Set();
      for (first = last; first > 0; first -= 1) {
        dates.add(parts(rows[first - 1][0] + 6 * 3600).day); // from 18:00 on: the next day
        if (dates.size > days) break;
      }
    }
    view(prices.chart, first, last);
    document.querySelectorAll(".span").forEach(function (each) {
      each.setAttribute("aria-pressed", String(Number(each.dataset.days) === days));
    });
  }

  function paintPrices() {
    var contract = prices.contract, up = colour("up"), down = colour("down");
    prices.series.applyOptions(contract.source === "fills" ? { color: colour("accent") } : {
      upColor: up, borderUpColor: up, wickUpColor: up,
      downColor: down, borderDownColor: down, wickDownColor: down,
    });
    var many = contract.marks.length > 120;
    prices.series.setMarkers(contract.marks.map(function (row) { return mark(row, many); }));
  }

  function read(move) {
    var box = document.getElementById("reading");
    var row = move.seriesData && move.seriesData.get(prices.series);
    if (!row) { box.textContent = ""; return; }
    var places = prices.contract.decimals;
    var here = prices.contract.marks.filter(function (each) { return each[0] === row.time; });
    var numbers = row.value === undefined ? [row.open, row.high, row.low, row.close] : [row.value];
    box.textContent = said(row.time) + "  " + numbers.map(function (value) {
      return grouped(value, places);
    }).join(" / ") + here.map(function (each) {
      return "  " + (each[1] ? "▲" : "▼") + each[3] + " @ " + grouped(each[4], places);
    }).join("");
  }

  function showContract(number) {
    var contract = data.contracts[number];
    if (prices) {
      charts.splice(charts.indexOf(prices), 1);
      prices.chart.remove();
    }
    var chart = made("price-chart", contract.seconds < 86400);
    var format = amounts(function (value) { return grouped(value, contract.decimals); });
    format.minMove = Math.pow(10, -contract.decimals);
    var isLine = contract.source === "fills";
    var options = { priceFormat: format };
    var series = isLine ? chart.addLineSeries(options) : chart.addCandlestickSeries(options);
    series.setData(contract.candles.map(function (row) {
      return isLine ? { time: row[0], value: row[1] } : candle(row);
    }));
    prices = { chart: chart, series: series, contract: contract, paint: paintPrices };
    paintPrices();
    chart.subscribeCrosshairMove(read);
    document.querySelectorAll(".source").forEach(function (each) {
      each.style.display = each.dataset.source === contract.source ? "inline" : "none";
    });
    document.querySelectorAll(".minutes").forEach(function (each) {
      each.textContent = String(contract.seconds / 60);
    });
    charts.push(prices);
    showDays(contract.candles.length > 1500 ? 5 : 0);
  }

  // ---- from a trade to the chart

  function seconds(text) { // "2025-09-15 21:30:00"; nothing else counts as a time
    var found = /^(\d+)-(\d+)-(\d+) (\d+):(\d+):(\d+)$/.exec(text.trim());
    return found && Date.UTC(found[1], found[2] - 1, found[3], found[4], found[5], found[6]) / 1000;
  }

  function place(time) {
    var rows = prices.contract.candles, found = 0;
    while (found + 1 < rows.length && rows[found + 1][0] <= time) found += 1;
    return found;
  }

  function showTrade(row) {
    var cells = Array.from(row.cells), symbol = cells[0].textContent;
    var number = data.contracts.findIndex(function (each) { return each.symbol === symbol; });
    var times = cells.map(function (each) { return seconds(each.textContent); }).filter(Boolean);
    if (number < 0 || !times.length) return;
    if (prices.contract !== data.contracts[number]) {
      document.getElementById("contract").value = String(number);
      showContract(number);
    }
    var first = place(Math.min.apply(null, times)), last = place(Math.max.apply(null, times));
    var room = Math.max(20, (last - first) / 2);
    prices.chart.timeScale().setVisibleLogicalRange({ from: first - room, to: last + room });
    document.querySelectorAll(".span").forEach(function (each) {
      each.setAttribute("aria-pressed", "false");
    });
    document.getElementById("prices").scrollIntoView({ behavior: "smooth" });
  }

  function on(id, event, act) {
    var found = document.getElementById(id);
    if (found) found.addEventListener(event, act);
  }

  function repaint() {
    charts.forEach(function (each) {
      each.chart.applyOptions(colours());
      each.paint();
    });
  }

  function theme(name) {
    root.dataset.theme = name;
    repaint();
  }

  if (data.contracts.length) showContract(0);
  on("contract", "change", function (event) { showContract(Number(event.target.value)); });
  document.querySelectorAll(".span").forEach(function (each) {
    each.addEventListener("click", function () { showDays(Number(each.dataset.days)); });
  });
  on("theme", "click", function () { theme(root.dataset.theme === "dark" ? "light" : "dark"); });
  on("language", "click", function () {
    root.dataset.lang = root.dataset.lang === "zh" ? "en" : "zh";
    root.lang = root.dataset.lang === "zh" ? "zh-CN" : "en";
  });
  on("trips", "click", function (event) {
    var row = event.target.closest("tbody tr");
    if (row && prices) showTrade(row);
  });
  on("print", "click", function () { window.print(); });
  // Paper is light and has another width than the window: it gets pictures of the charts.
  var before = root.dataset.theme;
  window.addEventListener("beforeprint", function () {
    before = root.dataset.theme;
    theme("light");
    charts.forEach(function (each) {
      var picture = each.chart.takeScreenshot();
      picture.className = "printed";
      each.chart.chartElement().parentNode.after(picture);
    });
  });
  window.addEventListener("afterprint", function () {
    document.querySelectorAll(".printed").forEach(function (each) { each.remove(); });
    theme(before);
  });
  requestAnimationFrame(function () {
    setTimeout(function () { root.dataset.drawnMs = Math.round(performance.now()); }, 0);
  });
})();
