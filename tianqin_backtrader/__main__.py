"""`python -m tianqin_backtrader`."""

from .cli import main

if __name__ == "__main__":
    main()
