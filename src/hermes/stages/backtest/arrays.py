"""Arrays of one value for each bar, order or position."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]
Rows = NDArray[np.intp]
Times = NDArray[np.datetime64]
