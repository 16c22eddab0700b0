"""Each network that has the name of a paper is that paper's network, as far as the paper is known."""
