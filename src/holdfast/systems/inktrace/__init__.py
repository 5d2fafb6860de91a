"""InkTrace: the strokes of hand-drawn ink as dense fields, learned in two stages."""
