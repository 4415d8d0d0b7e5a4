"""A lab that ends at once, with a word on why."""

import sys

sys.exit("the observatory has no roof")
