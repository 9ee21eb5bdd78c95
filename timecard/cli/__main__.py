"""``python -m timecard.cli``."""

import sys

from timecard.cli.main import main

sys.exit(main())
