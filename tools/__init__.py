"""What Luthier can do: plain Python that knows no language model and no web page."""
