"""HTML reports of stored results. This package only draws: it computes no metric."""
