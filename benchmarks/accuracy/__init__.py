"""How right the numbers are: every figure of docs/accuracy.md, measured."""
