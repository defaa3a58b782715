"""The embedded exchange: a DIFF gateway on loopback that an unmodified TqApi trades on."""

from .local import LocalExchange

__all__ = ["LocalExchange"]
