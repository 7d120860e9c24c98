"""Strangers' photos in, restored photos out."""
