"""What every test needs before it imports anything heavy."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny networks: a second thread would only wait for the first
