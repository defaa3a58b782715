"""A chart below a notebook's cell that is drawn anew while a run goes on."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from typing import Any

from .errors import ConfigError, WrongSetting

__all__ = ["keep_drawing"]

logger = logging.getLogger(__name__)


def keep_drawing(draw: Callable[[], Any], run: threading.Thread, every_s: float) -> None:
    """Show the figure that `draw` makes, and again every `every_s` seconds until `run` ends.

    A thread of its own does it: the notebook and its event loop stay free. Raises `ConfigError`
    outside of a notebook.
    """
    if not every_s > 0:
        raise WrongSetting("every_s", every_s, "seconds, more than 0")
    shown = _display(draw())

    def go_on() -> None:
        is_over = False
        while not is_over:
            run.join(every_s)
            is_over = not run.is_alive()  # before the picture: the last one shows the end
            try:
                shown.update(_bundle(draw()), raw=True)
            except Exception:
                logger.warning("the chart could not be drawn anew", exc_info=True)
                return

    threading.Thread(target=go_on, name="tianqin-chart", daemon=True).start()


def _display(figure: Any) -> Any:
    """Show a figure so that it can be replaced."""
    try:
        import IPython.display  # noqa: PLC0415 - optional

        shell = IPython.get_ipython()
    except ImportError:
        shell = None
    if shell is None:
        raise ConfigError("show() draws below a notebook's cell; elsewhere use chart().show()")
    return IPython.display.display(_bundle(figure), raw=True, display_id=True)


def _bundle(figure: Any) -> dict[str, Any]:
    """What a notebook needs to draw a plotly figure by itself, without the internet."""
    return {
        "application/vnd.plotly.v1+json": json.loads(figure.to_json()) | {"config": {}},
        "text/plain": f"candlesticks: {len(figure.data[0].x or ())} bars",
    }
