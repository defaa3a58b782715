"""Trade Chinese futures with Backtrader through TqSdk."""

__version__ = "0.1.0"
