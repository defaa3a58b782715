// Equity, drawdown and profits of days: charts one below the other that move together.
(function () {
  "use strict";
  var draw = window.drawing, data = draw.data;
  var colour = draw.colour, said = draw.said, made = draw.made, amounts = draw.amounts;

  function money(value) {
    return draw.grouped(value, 0);
  }

  function balances(withTime) {
    var chart = made("equity-chart", withTime);
    var line = chart.addAreaSeries({ lineWidth: 2, priceFormat: amounts(money) });
    line.setData(data.equity.map(function (row) { return { time: row[0], value: row[1] }; }));
    return {
      chart: chart, series: line, rows: data.equity, value: function (row) { return row[1]; },
      paint: function () {
        line.applyOptions({
          lineColor: colour("accent"), topColor: colour("accent") + "44",
          bottomColor: colour("accent") + "05",
        });
      },
    };
  }

  function falls(withTime) {
    var chart = made("fall-chart", withTime);
    var fall = chart.addAreaSeries({
      lineWidth: 1, invertFilledArea: true, lastValueVisible: false, priceLineVisible: false,
      priceFormat: amounts(function (value) { return value.toFixed(2) + "%"; }),
    });
    fall.setData(data.equity.map(function (row) { return { time: row[0], value: row[2] }; }));
    return {
      chart: chart, series: fall, rows: data.equity, value: function (row) { return row[2]; },
      paint: function () {
        fall.applyOptions({
          lineColor: colour("down"), topColor: colour("down") + "05",
          bottomColor: colour("down") + "55",
        });
      },
    };
  }

  function profits() {
    var chart = made("profit-chart", false);
    var bars = chart.addHistogramSeries({
      priceFormat: amounts(money), lastValueVisible: false, priceLineVisible: false,
    });
    chart.priceScale("right").applyOptions({ scaleMargins: { top: 0.2, bottom: 0.2 } });
    var start = [{ time: data.equity[0][0] }]; // no profit yet, but a place as in the others
    return {
      chart: chart, series: bars, rows: data.profits, value: function (row) { return row[1]; },
      paint: function () {
        bars.setData(start.concat(data.profits.map(function (row) {
          return { time: row[0], value: row[1], color: colour(row[1] < 0 ? "down" : "up") };
        })));
      },
    };
  }

  function follow(other, range) {
    var scale = other.chart.timeScale(), now = scale.getVisibleLogicalRange();
    var apart = now && Math.abs(now.from - range.from) + Math.abs(now.to - range.to);
    if (apart > 0.01) scale.setVisibleLogicalRange(range);
  }

  function point(other, time) {
    var row = time !== undefined && other.rows.find(function (each) {
      return said(each[0]) === said(time);
    });
    if (row) other.chart.setCrosshairPosition(other.value(row), time, other.series);
    else other.chart.clearCrosshairPosition();
  }

  function together(group) {
    group.forEach(function (one) {
      var others = group.filter(function (each) { return each !== one; });
      one.chart.timeScale().subscribeVisibleLogicalRangeChange(function (range) {
        if (range) others.forEach(function (other) { follow(other, range); });
      });
      one.chart.subscribeCrosshairMove(function (move) {
        others.forEach(function (other) { point(other, move.time); });
      });
    });
  }

  // Numbers of unlike length make axes of unlike width, and days would not lie below each other.
  function align(group) {
    var widest = Math.max.apply(null, group.map(function (each) {
      return each.chart.priceScale("right").width();
    }));
    group.forEach(function (each) {
      each.chart.priceScale("right").applyOptions({ minimumWidth: widest });
    });
  }

  function equity() {
    if (!data.equity.length) return;
    var byDay = data.profits.length > 0;
    var group = [balances(!byDay), falls(!byDay)].concat(byDay ? [profits()] : []);
    var last = data.equity.length - 1;
    group.forEach(function (each, n) {
      each.paint();
      each.chart.timeScale().applyOptions({ visible: n === group.length - 1 });
      draw.view(each.chart, 0, last);
      draw.charts.push(each);
    });
    together(group);
    requestAnimationFrame(function () { align(group); });
  }

  equity();
})();
