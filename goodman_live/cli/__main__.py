"""`python -m goodman_live.cli`."""

from . import main

raise SystemExit(main())
