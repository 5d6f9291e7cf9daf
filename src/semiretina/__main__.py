"""`python -m semiretina`, and `torchrun -m semiretina train CONFIG`."""

from semiretina.cli import main

main()
