"""What breaks metalstm on purpose: real runs in every way we know of, and odd input in thousands."""
