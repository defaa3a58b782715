"""The session as orders see it in mode paper: what would be sent is answered here."""

from __future__ import annotations

from collections.abc import Callable

from .clock import MarketClock
from .connection import Connection
from .floor import Floor
from .offsets import CloseFees
from .paper import PaperChannel
from .sessions import Sessions
from .values import ExchangeOrder, OrderPicture

__all__ = ["PaperFloor"]

NAN = float("nan")


class PaperFloor(Floor):
    """A `Floor` whose orders end here."""

    def __init__(
        self,
        connection: Connection,
        paper: PaperChannel,
        clock: MarketClock,
        sessions: Callable[[str], Sessions],
        fees: Callable[[str], CloseFees | None],
    ) -> None:
        super().__init__(connection, clock, sessions, fees)
        self._paper = paper

    def send(self, order: ExchangeOrder) -> None:
        """Write down what would have been sent."""
        self.on_sent(order.symbol)
        self._paper.gate()
        price = order.price
        kind = price if isinstance(price, str) else "ANY" if price is None else "LIMIT"
        picture = OrderPicture(
            order_id=order.order_id,
            symbol=order.symbol,
            direction=order.direction,
            offset=order.offset,
            volume=order.volume,
            volume_left=order.volume,
            price=NAN if price is None or isinstance(price, str) else price,
            price_type=kind,
            status="ALIVE",
            last_msg="",
            exchange_order_id="",
            insert_ns=0,
        )
        self._paper.answer(picture, self.now_ns)

    def cancel(self, order_id: str) -> None:
        """Every order has ended by itself."""
