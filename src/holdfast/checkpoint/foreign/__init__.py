"""Files of other programs, read without running any of them."""
