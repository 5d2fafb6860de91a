"""Glint: corneal reflections of up to eight lamps, found in eye images by a U-Net."""
