"""Taking submissions in: who may hand in, what a zip may contain, and the immutable copy of it."""
