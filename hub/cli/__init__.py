"""The command line, `python -m hub`: one more face on the same catalog, engine and media code."""
