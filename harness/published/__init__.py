"""Figures that papers print, each typed in once: diagnosis, reports and the board read them."""
