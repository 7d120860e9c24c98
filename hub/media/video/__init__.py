"""Clips at the level of codecs; strangers' files are opened in child processes only."""
